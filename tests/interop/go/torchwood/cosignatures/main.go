// Cosignatures checks what witnesses signed with code that none of them is made of:
// filippo.io/torchwood, or github.com/transparency-dev/formats.
//
// Usage: cosignatures torchwood|formats SCENE. On success it prints what was checked.
//
// SCENE holds the log's policy, the cosigned checkpoint, and the URLs of the log and of the witness that is asked for
// the signature of a subtree.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/torchwood"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// oracle is one of the two libraries.
type oracle struct {
	verifier func(vkey string) (note.Verifier, error)
	time     func(note.Signature) (time.Time, error)
	// subtree returns nil for a key that signs no subtrees.
	subtree func(vkey string) func(s subtree, line []byte) bool
}

var oracles = map[string]oracle{
	"torchwood": {
		verifier: func(vkey string) (note.Verifier, error) { return torchwood.NewCosignatureVerifier(vkey) },
		time: func(signature note.Signature) (time.Time, error) {
			seconds, err := torchwood.CosignatureTimestamp(signature)
			return time.Unix(seconds, 0), err
		},
		subtree: func(vkey string) func(subtree, []byte) bool {
			if !isMLDSA(vkey) {
				return nil
			}
			verifier, err := torchwood.NewCosignatureVerifier(vkey)
			must(err)
			return func(s subtree, line []byte) bool {
				return verifier.VerifySubtree(s.origin, s.start, s.end, s.hash, line)
			}
		},
	},
	"formats": {
		verifier: f_note.NewVerifierForCosignatureV1,
		time:     f_note.CoSigV1Timestamp,
		subtree: func(vkey string) func(subtree, []byte) bool {
			if !isMLDSA(vkey) {
				return nil
			}
			verifier, err := f_note.NewMLDSAVerifier(vkey)
			must(err)
			return func(s subtree, line []byte) bool {
				_, encoded, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(string(line), "— "), "\n"), " ")
				signature, err := base64.StdEncoding.DecodeString(encoded)
				return err == nil && len(signature) > 4 &&
					verifier.VerifySubtree(0, s.origin, uint64(s.start), uint64(s.end), s.hash[:], signature[4:])
			}
		},
	},
}

// witness is a line of the policy.
type witness struct{ name, vkey string }

type subtree struct {
	origin     string
	start, end int64
	hash       tlog.Hash
}

func main() {
	if summary, err := checkScene(oracles[os.Args[1]], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	} else {
		fmt.Println(summary)
	}
}

func checkScene(by oracle, scene string) (string, error) {
	policyText, checkpoint := read(scene, "policy"), []byte(read(scene, "cosigned"))
	witnesses := witnessesOf(policyText)
	if len(witnesses) == 0 {
		return "", errors.New("the scene's policy has no witnesses")
	}
	for _, w := range witnesses {
		if err := checkCosignature(by, w, checkpoint); err != nil {
			return "", fmt.Errorf("%s: %w", w.name, err)
		}
	}
	policy, err := torchwood.ParsePolicy([]byte(policyText))
	if err != nil {
		return "", err
	}
	tree, _, err := torchwood.VerifyCheckpoint(checkpoint, policy)
	if err != nil {
		return "", err
	}
	signed, err := checkSubtrees(by, scene, witnesses, policy, tree.Origin)
	if err != nil {
		return "", err
	}
	var kinds []string
	for _, w := range witnesses {
		kind := "Ed25519"
		if isMLDSA(w.vkey) {
			kind = "ML-DSA-44"
		}
		kinds = append(kinds, fmt.Sprintf("%s (%s)", w.name, kind))
	}
	return fmt.Sprintf("cosignatures at size %d of %s verified alone, %d subtrees signed on request verified; altered key id, time, "+
		"signature, size, root, origin, and altered range, root, time, signature of a subtree refused",
		tree.N, strings.Join(kinds, ", "), signed), nil
}

// checkCosignature believes this witness alone.
func checkCosignature(by oracle, w witness, checkpoint []byte) error {
	verifier, err := by.verifier(w.vkey)
	if err != nil {
		return err
	}
	opened, err := note.Open(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	signedAt, err := by.time(opened.Sigs[0])
	if err != nil {
		return err
	}
	if age := time.Since(signedAt); age < -time.Minute || age > time.Hour {
		return fmt.Errorf("its time is %v", signedAt)
	}
	blob, err := base64.StdEncoding.DecodeString(opened.Sigs[0].Base64)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(opened.Text, "\n")
	for what, altered := range map[string][]byte{
		"key id":    replaceBlob(checkpoint, blob, 0),
		"time":      replaceBlob(checkpoint, blob, 11),
		"signature": replaceBlob(checkpoint, blob, len(blob)-1),
		"origin":    bytes.Replace(checkpoint, []byte(lines[0]), []byte("x"+lines[0]), 1),
		"size":      bytes.Replace(checkpoint, []byte("\n"+lines[1]), []byte("\n1"+lines[1]), 1),
		"root":      bytes.Replace(checkpoint, []byte(lines[2]), []byte(flipped(lines[2])), 1),
	} {
		if bytes.Equal(altered, checkpoint) {
			return fmt.Errorf("nothing was altered: %s", what)
		}
		if _, err := note.Open(altered, note.VerifierList(verifier)); err == nil {
			return fmt.Errorf("altered %s accepted", what)
		}
	}
	return nil
}

// checkSubtrees has the witness sign parts of the tree that it cosigned last, and checks what it answers.
func checkSubtrees(by oracle, scene string, witnesses []witness, policy torchwood.Policy, origin string) (int, error) {
	url := strings.TrimSpace(read(scene, "witness_url"))
	originHash := sha256.Sum256([]byte(origin))
	reference, err := answer(http.Get(url + "/" + hex.EncodeToString(originHash[:]) + "/checkpoint"))
	if err != nil {
		return 0, err
	}
	tree, err := torchwood.ParseCheckpoint(string(reference[:bytes.LastIndex(reference, []byte("\n\n"))+1]))
	if err != nil {
		return 0, err
	}
	fetcher, err := torchwood.NewTileFetcher(strings.TrimSpace(read(scene, "url")) + "/")
	if err != nil {
		return 0, err
	}
	hashes := torchwood.TileHashReaderWithContext(context.Background(), tree.Tree, fetcher)
	signed := 0
	for _, part := range parts(tree.N) {
		part.origin = origin
		if part.hash, err = torchwood.SubtreeHash(part.start, part.end, hashes); err != nil {
			return 0, err
		}
		proof, err := torchwood.ProveSubtree(tree.N, part.start, part.end, hashes)
		if err != nil {
			return 0, err
		}
		lines, err := signSubtree(url, part, proof, reference)
		if err != nil {
			return 0, fmt.Errorf("[%d, %d): %w", part.start, part.end, err)
		}
		if err := checkSubtree(by, witnesses, part, lines); err != nil {
			return 0, fmt.Errorf("[%d, %d): %w", part.start, part.end, err)
		}
		other := part
		other.hash[0] ^= 1
		if _, err := signSubtree(url, other, proof, reference); err == nil || !strings.HasPrefix(err.Error(), "422 ") {
			return 0, fmt.Errorf("[%d, %d) with another root: %v", part.start, part.end, err)
		}
		signed++
	}
	if signed == 0 {
		return 0, errors.New("an empty tree has no subtree to sign")
	}
	return signed, nil
}

// parts are subtrees of a tree: the whole, the first leaf, the last, and one in the middle.
func parts(size int64) (parts []subtree) {
	ranges := [][2]int64{{0, size}, {0, 1}, {size - 1, size}, {size / 2 &^ 3, size/2&^3 + 4}}
	for _, r := range ranges {
		if r[0] >= 0 && r[0] < r[1] && r[1] <= size && torchwood.ValidSubtree(r[0], r[1]) {
			parts = append(parts, subtree{start: r[0], end: r[1]})
		}
	}
	return parts
}

func signSubtree(url string, part subtree, proof torchwood.SubtreeProof, reference []byte) ([]byte, error) {
	var body bytes.Buffer
	fmt.Fprintf(&body, "subtree %d %d\n%v\n", part.start, part.end, part.hash)
	for _, hash := range proof {
		fmt.Fprintf(&body, "%v\n", hash)
	}
	fmt.Fprintf(&body, "\n%s", reference)
	return answer(http.Post(url+"/sign-subtree", "text/plain", &body))
}

// checkSubtree expects a line of each key of that witness that can sign subtrees, and of no other.
func checkSubtree(by oracle, witnesses []witness, part subtree, answered []byte) error {
	lines := slices.Collect(bytes.Lines(answered))
	if len(lines) == 0 {
		return errors.New("the answer has no lines")
	}
	for _, line := range lines {
		verifies := -1
		for i, w := range witnesses {
			if verify := by.subtree(w.vkey); verify != nil && verify(part, line) {
				verifies = i
			}
		}
		if verifies < 0 {
			return fmt.Errorf("no key of the policy verifies %.60q", line)
		}
		verify := by.subtree(witnesses[verifies].vkey)
		shorter, root, longer := part, part, part
		shorter.end, longer.end = part.end-1, part.end+1
		root.hash[31] ^= 1
		encoded := line[bytes.LastIndexByte(line, ' ')+1 : len(line)-1]
		blob, err := base64.StdEncoding.DecodeString(string(encoded))
		if err != nil {
			return err
		}
		if !bytes.Equal(blob[4:12], make([]byte, 8)) {
			return errors.New("the line has a time")
		}
		for what, accepted := range map[string]bool{
			"shorter range": verify(shorter, line),
			"longer range":  verify(longer, line),
			"root":          verify(root, line),
			"time":          verify(part, replaceBlob(line, blob, 11)),
			"signature":     verify(part, replaceBlob(line, blob, len(blob)-1)),
		} {
			if accepted {
				return fmt.Errorf("altered %s accepted", what)
			}
		}
	}
	return nil
}

// replaceBlob flips a bit in one byte of a signature blob wherever it stands.
func replaceBlob(in, blob []byte, at int) []byte {
	altered := bytes.Clone(blob)
	altered[at] ^= 1
	encode := base64.StdEncoding.EncodeToString
	return bytes.Replace(in, []byte(encode(blob)), []byte(encode(altered)), 1)
}

// flipped is another hash in base64.
func flipped(hash string) string {
	if hash[0] == 'A' {
		return "B" + hash[1:]
	}
	return "A" + hash[1:]
}

func witnessesOf(policy string) (witnesses []witness) {
	for line := range strings.Lines(policy) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "witness" {
			witnesses = append(witnesses, witness{fields[1], fields[2]})
		}
	}
	return witnesses
}

func isMLDSA(vkey string) bool {
	_, rest, _ := strings.Cut(vkey, "+")
	_, key, _ := strings.Cut(rest, "+")
	decoded, err := base64.StdEncoding.DecodeString(key)
	must(err)
	return decoded[0] == 6
}

func answer(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.200s", response.Status, body)
	}
	return body, nil
}

func read(scene, name string) string {
	text, err := os.ReadFile(filepath.Join(scene, name))
	must(err)
	return string(text)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
