package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decode takes off the URL encoding of a document, where it has one. IAM
// answers most documents percent-encoded, but not every API of AWS and not
// every endpoint that stands in for it does. JSON text cannot begin with a
// percent sign, so encoded is what does, and an escape such as "%2A" within
// JSON text stays as it is.
func Decode(doc string) (string, error) {
	if !strings.HasPrefix(doc, "%") {
		return doc, nil
	}
	// RFC 3986, which IAM follows, leaves a plus sign alone: PathUnescape,
	// since QueryUnescape would make it a space.
	text, err := url.PathUnescape(doc)
	if err != nil {
		return "", fmt.Errorf("decode policy document: %w", err)
	}
	return text, nil
}

// parse reads a document into maps, lists and strings. Booleans and numbers
// become the text that they are written as, because AWS takes one for the
// other. encoding/json alone would let duplicate keys and invalid UTF-8 pass,
// and AWS refuses both.
func parse(doc []byte) (any, error) {
	text, err := Decode(string(doc))
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("policy document is empty")
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("policy document is not valid UTF-8")
	}
	// Unmarshal looks at the whole text first: what follows the document,
	// and how deep it is nested, which bounds the recursion below.
	var whole json.RawMessage
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		return nil, fmt.Errorf("parse policy document: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(whole))
	dec.UseNumber()
	tree, err := value(dec)
	if err != nil {
		return nil, fmt.Errorf("parse policy document: %w", err)
	}
	return tree, nil
}

func value(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return list(dec)
		}
		return object(dec)
	case json.Number:
		return t.String(), nil
	case bool:
		return strconv.FormatBool(t), nil
	case nil:
		return nil, errors.New("null is not allowed in a policy document")
	}
	return token, nil
}

func list(dec *json.Decoder) (any, error) {
	elements := []any{}
	for dec.More() {
		element, err := value(dec)
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	_, err := dec.Token()
	return elements, err
}

func object(dec *json.Decoder) (any, error) {
	members := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		if _, twice := members[key]; twice {
			return nil, fmt.Errorf("duplicate key %q", key)
		}
		if members[key], err = value(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return members, err
}
