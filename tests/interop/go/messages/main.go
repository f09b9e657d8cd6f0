// Messages seals and opens messages with Go's crypto/hpke, in the lines of
// tests/src/bin/message_interop.rs. The layout is that of specs/message.md.
//
// Usage: messages seal|open
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	count       = 1000
	origin      = "interop.example/log"
	now         = 1790000000000
	payloadType = "application/vnd.aip.message.v2+json"
	info        = "aip-msg/v2"
)

var (
	frames = []int{1024, 2048, 4096, 8192, 16384, 32768, 65536, 98304}
	bodies = []int{0, 1000, 2500, 6000, 14000, 30000, 60000, 65000}
)

type line struct {
	PrivateKey string `json:"privateKey"`
	Recipient  string `json:"recipient"`
	Payload    string `json:"payload"`
	Sealed     string `json:"sealed"`
}

// statement has its members in alphabetical order, as JCS wants them.
type statement struct {
	Attachments []attachment `json:"attachments"`
	Body        string       `json:"body"`
	ContentType string       `json:"contentType"`
	Created     int64        `json:"created"`
	Expires     int64        `json:"expires"`
	ID          string       `json:"id"`
	Key         []byte       `json:"key"`
	Origin      string       `json:"origin"`
	Recipients  []string     `json:"recipients"`
	Sender      string       `json:"sender"`
}

type attachment struct {
	Content     []byte `json:"content"`
	ContentType string `json:"contentType"`
	Name        string `json:"name"`
}

func main() {
	commands := map[string]func() error{"seal": sealAll, "open": openAll}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "messages seal|open")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func sealAll() error {
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for number := range count {
		made, err := seal(number)
		if err != nil {
			return err
		}
		if err := encoder.Encode(made); err != nil {
			return err
		}
	}
	return out.Flush()
}

func seal(number int) (*line, error) {
	public, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var recipient, id [16]byte
	rand.Read(recipient[:])
	rand.Read(id[:])
	size := bodies[number%8]
	attached := bytes.Repeat([]byte{1}, number%7)
	if size == 65000 {
		attached = bytes.Repeat([]byte{7}, 20000)
	}
	payload, err := canonical(&statement{
		Attachments: []attachment{{attached, "application/octet-stream", fmt.Sprintf("é%d.bin", number)}},
		Body:        fmt.Sprintf("#%d <&> \u202e😀\"\\\n", number) + strings.Repeat("x", size),
		ContentType: "text/plain",
		Created:     now,
		Expires:     now + 1000,
		ID:          hex.EncodeToString(id[:]),
		Key:         public,
		Origin:      origin,
		Recipients:  []string{"did:aip:" + hex.EncodeToString(recipient[:])},
		Sender:      didOf(public),
	})
	if err != nil {
		return nil, err
	}
	plaintext := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	plaintext = append(plaintext, ed25519.Sign(signer, pae(payload))...)
	plaintext = append(plaintext, payload...)
	plaintext = append(plaintext, make([]byte, frame(len(plaintext))-len(plaintext))...)

	keyID := sha256.Sum256(private.PublicKey().Bytes())
	header := append([]byte("AIPM2\x01"), recipient[:]...)
	header = append(header, keyID[:16]...)
	header = append(header, id[:]...)
	key, err := hpke.NewDHKEMPublicKey(private.PublicKey())
	if err != nil {
		return nil, err
	}
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info))
	if err != nil {
		return nil, err
	}
	ciphertext, err := sender.Seal(header, plaintext)
	if err != nil {
		return nil, err
	}
	sealed := append(append(header, enc...), ciphertext...)
	return &line{
		hex.EncodeToString(private.Bytes()), "did:aip:" + hex.EncodeToString(recipient[:]),
		string(payload), base64.StdEncoding.EncodeToString(sealed),
	}, nil
}

func openAll() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	number := 0
	for ; lines.Scan(); number++ {
		var read line
		if err := json.Unmarshal(lines.Bytes(), &read); err != nil {
			return err
		}
		sealed, err := base64.StdEncoding.Strict().DecodeString(read.Sealed)
		if err != nil {
			return err
		}
		if err := open(&read, sealed); err != nil {
			return fmt.Errorf("line %d: %w", number+1, err)
		}
		bit := number * 7919 % (8 * len(sealed))
		sealed[bit/8] ^= 1 << (bit % 8)
		if open(&read, sealed) == nil {
			return fmt.Errorf("line %d: an altered message was accepted", number+1)
		}
	}
	if number != count {
		return fmt.Errorf("%d lines", number)
	}
	return lines.Err()
}

func open(read *line, sealed []byte) error {
	raw, err := hex.DecodeString(read.PrivateKey)
	if err != nil {
		return err
	}
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return err
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return err
	}
	header, enc, ciphertext := sealed[:54], sealed[54:86], sealed[86:]
	keyID := sha256.Sum256(private.PublicKey().Bytes())
	did, err := hex.DecodeString(strings.TrimPrefix(read.Recipient, "did:aip:"))
	if err != nil {
		return err
	}
	if !bytes.Equal(header[:38], bytes.Join([][]byte{[]byte("AIPM2\x01"), did, keyID[:16]}, nil)) {
		return errors.New("another header")
	}
	recipient, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info))
	if err != nil {
		return err
	}
	plaintext, err := recipient.Open(header, ciphertext)
	if err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint32(plaintext))
	signature, payload, padding := plaintext[4:68], plaintext[68:68+length], plaintext[68+length:]
	if len(plaintext) != frame(68+length) || len(bytes.Trim(padding, "\x00")) != 0 {
		return errors.New("padding")
	}
	if string(payload) != read.Payload {
		return errors.New("another payload")
	}
	var said statement
	if err := json.Unmarshal(payload, &said); err != nil {
		return err
	}
	if !ed25519.Verify(said.Key, pae(payload), signature) {
		return errors.New("signature")
	}
	if said.Sender != didOf(said.Key) || said.ID != hex.EncodeToString(header[38:]) || said.Recipients[0] != read.Recipient {
		return errors.New("statement and header differ")
	}
	return nil
}

func canonical(said *statement) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(said)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func pae(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

func didOf(key []byte) string {
	hash := sha256.Sum256(key)
	return "did:aip:" + hex.EncodeToString(hash[:16])
}

func frame(bytes int) int {
	for _, size := range frames {
		if bytes <= size {
			return size
		}
	}
	panic("longer than the largest frame")
}
