// Torchwood checks receipts, checkpoints and policies with filippo.io/torchwood.
// A module of its own: it needs a newer Go than the rest.
//
// Usage: torchwood SCENE. On success it prints what was checked.
package main

import (
	"bytes"
	"context"
	"crypto/mldsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type receipt struct {
	Leaf  []byte `json:"leaf"`
	Proof string `json:"proof"`
}

// scene is what a log and our command line left behind.
type scene struct {
	dir, url, altered string
	policyText        string
	policy            torchwood.Policy
	receipts          []receipt
}

// stranger is a witness that our log has never heard of, made for this run.
type stranger struct {
	signer *torchwood.CosignatureSigner
	policy torchwood.Policy // the scene's log, and a quorum of this witness alone
}

func main() {
	summary, err := checkScene(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(summary)
}

func checkScene(dir string) (string, error) {
	s, err := loadScene(dir)
	if err != nil {
		return "", err
	}
	witness, err := newStranger(s.policyText)
	if err != nil {
		return "", err
	}
	checkpoints, cosignatures, err := checkCheckpoints(s, witness)
	if err != nil {
		return "", err
	}
	for i, r := range s.receipts {
		if err := checkReceipt(s.policy, witness, r); err != nil {
			return "", fmt.Errorf("receipt %d: %w", i, err)
		}
	}
	entries, err := readEntries(s.url, s.policy)
	if err != nil {
		return "", err
	}
	for i, r := range s.receipts {
		if index := proofIndex(r.Proof); index >= len(entries) || !bytes.Equal(entries[index], r.Leaf) {
			return "", fmt.Errorf("receipt %d: its leaf is not the log's entry %d", i, index)
		}
	}
	if _, err := readEntries(s.altered+"/nothing", s.policy); err != nil {
		return "", err
	}
	for _, what := range []string{"checkpoint", "tile", "entries"} {
		if _, err := readEntries(s.altered+"/"+what, s.policy); err == nil {
			return "", fmt.Errorf("a log with an altered %s was accepted", what)
		}
	}
	return fmt.Sprintf("policy parsed, %d checkpoints with %d cosignatures and %d receipts verified under it, and under a "+
		"quorum met by an added ML-DSA-44 cosignature, %d entries read, the receipts' leaves among them; altered leaf hash, index, "+
		"hash path, signature, cosignature, tile, entry, checkpoint and unmet quorum refused",
		checkpoints, cosignatures, len(s.receipts), len(entries)), nil
}

// checkReceipt expects each alteration to be refused for its own reason.
func checkReceipt(policy torchwood.Policy, witness stranger, r receipt) error {
	proof, leaf := []byte(r.Proof), tlog.RecordHash(r.Leaf)
	if err := torchwood.VerifyProof(policy, leaf, proof); err != nil {
		return err
	}
	alteredLeaf := leaf
	alteredLeaf[0] ^= 1
	index := proofIndex(r.Proof)
	alteredIndex := bytes.Replace(proof, fmt.Appendf(nil, "\nindex %d\n", index), fmt.Appendf(nil, "\nindex %d\n", index^1), 1)
	oneHashMore := bytes.Replace(proof, []byte("\n\n"), fmt.Appendf(nil, "\n%s\n\n", leaf), 1)
	for what, err := range map[string]error{
		"leaf hash": torchwood.VerifyProof(policy, alteredLeaf, proof),
		"index":     torchwood.VerifyProof(policy, leaf, alteredIndex),
		"hash path": torchwood.VerifyProof(policy, leaf, oneHashMore),
	} {
		if refused := (*torchwood.VerifyRecordError)(nil); !errors.As(err, &refused) {
			return fmt.Errorf("altered %s: %v", what, err)
		}
	}
	if err := torchwood.VerifyProof(witness.policy, leaf, proof); !isUnverified(err) {
		return fmt.Errorf("unmet quorum: %v", err)
	}
	header, checkpoint, _ := bytes.Cut(proof, []byte("\n\n"))
	cosigned, err := witness.cosign(checkpoint)
	if err != nil {
		return err
	}
	cosignedProof := append(append(header, "\n\n"...), cosigned...)
	if err := torchwood.VerifyProof(witness.policy, leaf, cosignedProof); err != nil {
		return fmt.Errorf("met quorum: %w", err)
	}
	return nil
}

// checkCheckpoints also counts the cosignatures of witnesses that the policy knows.
func checkCheckpoints(s scene, witness stranger) (checkpoints, cosignatures int, err error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "checkpoints", "*"))
	if err != nil || len(files) == 0 {
		return 0, 0, errors.Join(err, errors.New("the scene has no checkpoints"))
	}
	for _, file := range files {
		signed, err := os.ReadFile(file)
		if err != nil {
			return 0, 0, err
		}
		checkpoint, opened, err := torchwood.VerifyCheckpoint(signed, s.policy)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", file, err)
		}
		if again := checkpoint.String(); again != opened.Text {
			return 0, 0, fmt.Errorf("%s: written again it reads %q", file, again)
		}
		if _, _, err := torchwood.VerifyCheckpoint(signed, witness.policy); !isUnverified(err) {
			return 0, 0, fmt.Errorf("%s: unmet quorum: %v", file, err)
		}
		for _, line := range bytes.SplitAfter(signed, []byte("\n")) {
			if !bytes.HasPrefix(line, []byte("— ")) {
				continue
			}
			altered := bytes.Clone(line)
			if middle := &altered[len(altered)-20]; *middle == 'A' {
				*middle = 'B'
			} else {
				*middle = 'A'
			}
			_, _, err := torchwood.VerifyCheckpoint(bytes.Replace(signed, line, altered, 1), s.policy)
			if invalid := (*note.InvalidSignatureError)(nil); !errors.As(err, &invalid) {
				return 0, 0, fmt.Errorf("%s: with the altered signature %q: %v", file, altered, err)
			}
		}
		checkpoints, cosignatures = checkpoints+1, cosignatures+len(opened.Sigs)-1
	}
	return checkpoints, cosignatures, nil
}

// readEntries reads the log as any tlog client would: checkpoint under the policy, then authenticated tiles and bundles.
func readEntries(url string, policy torchwood.Policy) (entries [][]byte, err error) {
	fetcher, err := torchwood.NewTileFetcher(url + "/")
	if err != nil {
		return nil, err
	}
	signed, err := fetcher.ReadEndpoint(context.Background(), "checkpoint")
	if err != nil {
		return nil, err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return nil, err
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		return nil, err
	}
	for _, entry := range client.AllEntries(context.Background(), checkpoint.Tree, 0) {
		entries = append(entries, bytes.Clone(entry))
	}
	if err := client.Err(); err != nil {
		return nil, err
	}
	if int64(len(entries)) != checkpoint.N {
		return nil, fmt.Errorf("%d entries in a log of size %d", len(entries), checkpoint.N)
	}
	return entries, nil
}

func loadScene(dir string) (s scene, err error) {
	s.dir = dir
	for name, text := range map[string]*string{"url": &s.url, "altered": &s.altered, "policy": &s.policyText} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return s, err
		}
		*text = string(content)
	}
	s.url, s.altered = strings.TrimSpace(s.url), strings.TrimSpace(s.altered)
	if s.policy, err = torchwood.ParsePolicy([]byte(s.policyText)); err != nil {
		return s, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "receipts", "*.receipt.json"))
	if err != nil {
		return s, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return s, err
		}
		var r receipt
		if err := json.Unmarshal(content, &r); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
		s.receipts = append(s.receipts, r)
	}
	if len(s.receipts) == 0 {
		return s, errors.New("the scene has no receipts")
	}
	return s, nil
}

func newStranger(policyText string) (w stranger, err error) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		return w, err
	}
	if w.signer, err = torchwood.NewCosignatureSigner("stranger.example", key); err != nil {
		return w, err
	}
	var log string
	for line := range strings.Lines(policyText) {
		if strings.HasPrefix(line, "log ") {
			log += line
		}
	}
	w.policy, err = torchwood.ParsePolicy(fmt.Appendf(nil, "%switness stranger %s\nquorum stranger\n", log, w.signer.Verifier()))
	return w, err
}

// cosign appends the stranger's line to a signed checkpoint, keeping those that are there.
func (w stranger) cosign(signed []byte) ([]byte, error) {
	end := bytes.LastIndex(signed, []byte("\n\n"))
	if end < 0 {
		return nil, errors.New("no signatures to add to")
	}
	cosigned, err := note.Sign(&note.Note{Text: string(signed[:end+1])}, w.signer)
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(signed), cosigned[end+2:]...), nil
}

func proofIndex(proof string) int {
	_, rest, _ := strings.Cut(proof, "\nindex ")
	digits, _, _ := strings.Cut(rest, "\n")
	index, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return index
}

func isUnverified(err error) bool {
	unverified := (*note.UnverifiedNoteError)(nil)
	return errors.As(err, &unverified)
}
