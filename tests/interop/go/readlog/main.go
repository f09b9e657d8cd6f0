// Readlog reads a log with golang.org/x/mod/sumdb/{tlog,note} alone and checks
// that every checkpoint, tile and entry bundle agrees.
//
// Usage: readlog SCENE. On success it prints what was checked.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	summary, err := checkScene(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(summary)
}

func checkScene(scene string) (string, error) {
	url, altered := readText(scene, "url"), readText(scene, "altered")
	verifier, err := note.NewVerifier(readText(scene, "vkey"))
	if err != nil {
		return "", err
	}
	tree, entries, err := readLog(url, verifier)
	if err != nil {
		return "", err
	}
	hashes := tlog.TileHashReader(tree, readTilesOf(url))
	if err := checkInclusion(tree, entries, hashes); err != nil {
		return "", err
	}
	served, err := readCheckpoints(scene, verifier)
	if err != nil {
		return "", err
	}
	pairs, err := checkConsistency(served, hashes)
	if err != nil {
		return "", err
	}
	if _, _, err := readLog(altered+"/nothing", verifier); err != nil {
		return "", err
	}
	for _, what := range []string{"checkpoint", "tile", "entries"} {
		if _, _, err := readLog(altered+"/"+what, verifier); err == nil {
			return "", fmt.Errorf("a log with an altered %s was accepted", what)
		}
	}
	return fmt.Sprintf("checkpoint opened, all tiles read and root recomputed at size %d, %d entries proven included, "+
		"%d served checkpoints consistent with every size below (%d proofs); altered checkpoint, tile, entry, index, root refused",
		tree.N, len(entries), len(served), pairs), nil
}

// readLog returns the tree that the checkpoint signs and every entry, having
// recomputed the root twice: from the tiles, and from the entries alone.
func readLog(url string, verifier note.Verifier) (tree tlog.Tree, entries [][]byte, err error) {
	signed, err := get(url, "checkpoint")
	if err != nil {
		return tree, nil, err
	}
	if tree, err = openCheckpoint(signed, verifier); err != nil {
		return tree, nil, err
	}
	fromTiles, err := tlog.TreeHash(tree.N, tlog.TileHashReader(tree, readTilesOf(url)))
	if err != nil {
		return tree, nil, err
	}
	if entries, err = readEntries(url, tree.N); err != nil {
		return tree, nil, err
	}
	fromEntries, err := tlog.TreeHash(tree.N, storedHashes(entries))
	if err != nil {
		return tree, nil, err
	}
	if fromTiles != tree.Hash || fromEntries != tree.Hash {
		return tree, nil, fmt.Errorf("checkpoint says root %v, its tiles %v, its entries %v", tree.Hash, fromTiles, fromEntries)
	}
	// The root needs only the right edge; this reads, and authenticates, every tile below it.
	all := make([]int64, tree.N)
	for i := range all {
		all[i] = tlog.StoredHashIndex(0, int64(i))
	}
	leaves, err := tlog.TileHashReader(tree, readTilesOf(url)).ReadHashes(all)
	if err != nil {
		return tree, nil, err
	}
	for i, entry := range entries {
		if tlog.RecordHash(entry) != leaves[i] {
			return tree, nil, fmt.Errorf("entry %d does not hash to its place in the level-0 tile", i)
		}
	}
	return tree, entries, nil
}

// checkInclusion proves each entry, and that a wrong entry, index or root is refused.
func checkInclusion(tree tlog.Tree, entries [][]byte, hashes tlog.HashReader) error {
	for i, entry := range entries {
		index := int64(i)
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return err
		}
		leaf := tlog.RecordHash(entry)
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		otherIndex := index ^ 1
		wrong := tlog.CheckRecord(proof, tree.N, tree.Hash, index, flipped(leaf)) == nil ||
			tlog.CheckRecord(proof, tree.N, flipped(tree.Hash), index, leaf) == nil ||
			otherIndex < tree.N && tlog.CheckRecord(proof, tree.N, tree.Hash, otherIndex, leaf) == nil
		if wrong {
			return fmt.Errorf("entry %d: an altered proof was accepted", i)
		}
	}
	return nil
}

// checkConsistency proves each served checkpoint consistent with the tiles at
// every size up to its own, so that no two of them can differ.
func checkConsistency(served []tlog.Tree, hashes tlog.HashReader) (pairs int, err error) {
	for _, newer := range served {
		for size := int64(1); size <= newer.N; size++ {
			root, err := tlog.TreeHash(size, hashes)
			if err != nil {
				return 0, err
			}
			proof, err := tlog.ProveTree(newer.N, size, hashes)
			if err != nil {
				return 0, err
			}
			if err := tlog.CheckTree(proof, newer.N, newer.Hash, size, root); err != nil {
				return 0, fmt.Errorf("size %d to %d: %w", size, newer.N, err)
			}
			if tlog.CheckTree(proof, newer.N, newer.Hash, size, flipped(root)) == nil {
				return 0, fmt.Errorf("size %d to %d: another root was accepted", size, newer.N)
			}
			pairs++
		}
	}
	return pairs, nil
}

func readCheckpoints(scene string, verifier note.Verifier) (trees []tlog.Tree, err error) {
	files, err := filepath.Glob(filepath.Join(scene, "checkpoints", "*"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, errors.New("the scene has no checkpoints"))
	}
	for _, file := range files {
		signed, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		tree, err := openCheckpoint(signed, verifier)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// openCheckpoint splits the three lines itself: tlog.ParseTree knows only the
// Go checksum database, whose first line is fixed.
func openCheckpoint(signed []byte, verifier note.Verifier) (tree tlog.Tree, err error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("not a checkpoint of %s without extensions: %q", verifier.Name(), opened.Text)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || strconv.FormatInt(tree.N, 10) != lines[1] {
		return tree, fmt.Errorf("tree size %q", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || copy(tree.Hash[:], root) != len(root) || len(root) != tlog.HashSize {
		return tree, fmt.Errorf("root %q", lines[2])
	}
	return tree, nil
}

// tileReader is a tlog.TileReader over the C2SP tlog-tiles paths of a log.
// It keeps the tiles that tlog has authenticated.
type tileReader struct {
	url           string
	authenticated map[tlog.Tile][]byte
}

func readTilesOf(url string) tileReader { return tileReader{url, map[tlog.Tile][]byte{}} }

func (t tileReader) Height() int { return tileHeight }

func (t tileReader) SaveTiles(saved []tlog.Tile, data [][]byte) {
	for i, tile := range saved {
		t.authenticated[tile] = data[i]
	}
}

func (t tileReader) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		hashes, known := t.authenticated[tile]
		if !known {
			if hashes, err = get(t.url, tilePath(tile)); err != nil {
				return nil, err
			}
		}
		data = append(data, hashes)
	}
	return data, nil
}

// tilePath is the path of C2SP tlog-tiles: the module's own without the tile
// height, and "entries" for its "data".
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	if rest, isData := strings.CutPrefix(path, "data/"); isData {
		path = "entries/" + rest
	}
	return "tile/" + path
}

func readEntries(url string, size int64) (entries [][]byte, err error) {
	const width = 1 << tileHeight
	for first := int64(0); first < size; first += width {
		count := min(width, size-first)
		bundle, err := get(url, tilePath(tlog.Tile{H: tileHeight, L: -1, N: first / width, W: int(count)}))
		if err != nil {
			return nil, err
		}
		for range count {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("entry bundle at %d ends early", first)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			entries = append(entries, bytes.Clone(bundle[2:end]))
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("entry bundle at %d has %d bytes too many", first, len(bundle))
		}
	}
	return entries, nil
}

// storedHashes hashes the entries into a tree of their own.
func storedHashes(entries [][]byte) tlog.HashReader {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for i, entry := range entries {
		added, err := tlog.StoredHashes(int64(i), entry, reader)
		if err != nil {
			panic(err) // the reader above cannot fail
		}
		stored = append(stored, added...)
	}
	return reader
}

func get(url, path string) ([]byte, error) {
	answer, err := http.Get(url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func flipped(hash tlog.Hash) tlog.Hash {
	hash[0] ^= 1
	return hash
}

func readText(scene, name string) string {
	text, err := os.ReadFile(filepath.Join(scene, name))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return strings.TrimSpace(string(text))
}
