package tfstate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// largest is how much of a state one resource may be. Terraform's providers
// hand over less at a time. A state as a whole may have any size, since it is
// read a resource at a time.
const largest = 64 << 20

// Read reads a state of version 4, as Terraform and OpenTofu keep it, or what
// "terraform show -json" prints of one. A state holds secrets in clear text, so
// no error quotes it.
func Read(r io.Reader) (*State, error) {
	buffered := bufio.NewReader(r)
	if err := checkStart(buffered); err != nil {
		return nil, err
	}
	source := &meter{r: buffered, left: largest}
	d := &reader{json: json.NewDecoder(source), source: source}
	if err := d.top(); err != nil {
		return nil, d.explain(err)
	}
	return d.state()
}

// checkStart tells what people take for a state by mistake from its first
// bytes, and skips a byte order mark.
func checkStart(r *bufio.Reader) error {
	start, err := r.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if text, ok := bytes.CutPrefix(start, []byte("\xef\xbb\xbf")); ok {
		start = text
		_, _ = r.Discard(3) // they were peeked at
	}
	text := bytes.TrimLeft(start, " \t\r\n")
	const want = "; a state is wanted, as from: terraform state pull"
	switch {
	case len(text) == 0:
		return errors.New("it is empty: terraform state pull prints nothing where there is no state yet, or where it failed")
	case text[0] == '{':
		return nil
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return errors.New("it is a saved plan of Terraform, not a state" + want)
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		return errors.New("it is UTF-16, as the > of PowerShell writes it; terraform state pull | Out-File -Encoding utf8 state.json writes UTF-8")
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		return errors.New("it is compressed; gunzip it first, and - reads standard input")
	case bytes.HasPrefix(text, []byte("# ")), bytes.HasPrefix(text, []byte("Outputs:")):
		return errors.New("it is text for people; terraform show -json prints what programs read")
	case bytes.HasPrefix(text, []byte("resource ")), bytes.HasPrefix(text, []byte("terraform {")), bytes.HasPrefix(text, []byte("provider ")), bytes.HasPrefix(text, []byte("module ")):
		return errors.New("it is Terraform's configuration, not its state" + want)
	}
	return errors.New("it is no JSON object" + want)
}

// A meter hands out no more than is left, so that no value can fill the memory.
type meter struct {
	r    io.Reader
	left int
}

var errTooLarge = fmt.Errorf("one value in it is larger than %d MB", largest>>20)

// A readError is one of reading bytes, which knows nothing of what they say.
type readError struct{ error }

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError{err}
	}
	return n, err
}

// A reader reads one state.
type reader struct {
	json   *json.Decoder
	source *meter

	version   string // of the state's format
	shown     string // of the format of terraform show
	encrypted bool
	plan      bool

	objects []object
	outputs []output
}

// A clearError says what is wrong in words that quote nothing of the state.
type clearError struct{ text string }

func (e clearError) Error() string { return e.text }

func errorf(format string, args ...any) error { return clearError{fmt.Sprintf(format, args...)} }

// explain puts an error of reading JSON into words. encoding/json quotes what
// it has read, which may be a secret.
func (d *reader) explain(err error) error {
	if clear, ok := errors.AsType[clearError](err); ok {
		return clear
	}
	at := fmt.Sprintf("at byte %d", d.json.InputOffset())
	_, syntax := errors.AsType[*json.SyntaxError](err)
	read, reading := errors.AsType[readError](err)
	switch {
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("%w, %s", errTooLarge, at)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("it ends too early, %s: was it cut off?", at)
	case syntax:
		return fmt.Errorf("it is no valid JSON, %s", at)
	case reading:
		return read.error
	}
	return fmt.Errorf("it is not as Terraform writes it, %s", at)
}

// fields calls visit for each key of the object that comes next. visit has to
// read the value.
func (d *reader) fields(visit func(key string) error) error {
	open, err := d.json.Token()
	if err != nil {
		return err
	}
	if open == nil {
		return nil
	}
	if open != json.Delim('{') {
		return errorf("it is not as Terraform writes it, at byte %d", d.json.InputOffset())
	}
	for d.json.More() {
		d.source.left = largest
		key, err := d.json.Token()
		if err != nil {
			return err
		}
		if err := visit(key.(string)); err != nil {
			return err
		}
	}
	_, err = d.json.Token()
	return err
}

// items calls visit for each item of the list that comes next. visit has to
// read the item.
func (d *reader) items(visit func() error) error {
	open, err := d.json.Token()
	if err != nil {
		return err
	}
	if open == nil {
		return nil
	}
	if open != json.Delim('[') {
		return errorf("it is not as Terraform writes it, at byte %d", d.json.InputOffset())
	}
	for d.json.More() {
		d.source.left = largest
		if err := visit(); err != nil {
			return err
		}
	}
	_, err = d.json.Token()
	return err
}

func (d *reader) skip() error {
	var nothing skipped
	return d.json.Decode(&nothing)
}

// A skipped value is read over.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

func (d *reader) top() error {
	err := d.fields(func(key string) error {
		switch key {
		case "version":
			var version json.Number
			if err := d.json.Decode(&version); err != nil {
				return err
			}
			d.version = version.String()
			// Another version's resources would not be read as what they are.
			return d.checkVersion()
		case "format_version":
			return d.json.Decode(&d.shown)
		case "resources":
			return d.items(d.resource)
		case "outputs":
			return d.fields(d.output)
		case "values":
			return d.fields(d.values)
		case "planned_values", "resource_changes":
			d.plan = true
		case "encrypted_data":
			d.encrypted = true
		}
		return d.skip()
	})
	if err != nil {
		return err
	}
	d.source.left = largest
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return errorf("more follows after its end, at byte %d", d.json.InputOffset())
	}
	return nil
}

func (d *reader) checkVersion() error {
	switch {
	case d.version == "4":
		return nil
	case d.version == "1", d.version == "2", d.version == "3":
		return errorf("it is of version %s, as Terraform before 0.12 wrote it; any command of a newer one that writes, such as terraform refresh, brings it to version 4", d.version)
	case len(d.version) > 4:
		return errorf("its version is none that is known; version 4 is")
	}
	return errorf("it is of version %s; only version 4 is known", d.version)
}

// state checks that what was read is a state.
func (d *reader) state() (*State, error) {
	switch {
	case d.encrypted:
		return nil, errors.New("it is encrypted, as OpenTofu does it; tofu state pull decrypts it")
	case d.plan:
		return nil, errors.New("it is what terraform show -json prints of a plan; without a plan's name it prints the state")
	case d.version == "" && d.shown == "":
		return nil, errors.New("it is no state of Terraform: it has no version; a state is wanted, as from: terraform state pull")
	case d.version == "" && !strings.HasPrefix(d.shown, "1.") && !strings.HasPrefix(d.shown, "0."):
		return nil, errors.New("its format_version is none that is known; 1.0 is")
	}
	return newState(d.objects, d.outputs), nil
}

// resource reads a resource of a state, which has an instance for each value of
// count or for_each.
func (d *reader) resource() error {
	var r struct {
		Module, Mode, Type, Name, Provider string
		Instances                          []struct {
			IndexKey   json.RawMessage `json:"index_key"`
			Deposed    string          `json:"deposed"`
			Attributes json.RawMessage `json:"attributes"`
		}
	}
	if err := d.json.Decode(&r); err != nil {
		return err
	}
	if r.Mode != "managed" {
		return nil // data sources are read, not kept
	}
	for _, i := range r.Instances {
		address, err := newAddress(r.Module, r.Type, r.Name, i.IndexKey)
		if err != nil {
			return err
		}
		if err := d.add(address, r.Provider, i.Deposed != "", i.Attributes); err != nil {
			return err
		}
	}
	return nil
}

// values reads the values of "terraform show -json".
func (d *reader) values(key string) error {
	switch key {
	case "outputs":
		return d.fields(d.output)
	case "root_module":
		return d.fields(d.module)
	}
	return d.skip()
}

func (d *reader) module(key string) error {
	switch key {
	case "resources":
		return d.items(d.shownResource)
	case "child_modules":
		return d.items(func() error { return d.fields(d.module) })
	}
	return d.skip()
}

func (d *reader) shownResource() error {
	var r struct {
		Address, Mode, Type, Name string
		Index                     json.RawMessage `json:"index"`
		Provider                  string          `json:"provider_name"`
		Deposed                   string          `json:"deposed_key"`
		Values                    json.RawMessage `json:"values"`
	}
	if err := d.json.Decode(&r); err != nil {
		return err
	}
	if r.Mode != "managed" {
		return nil
	}
	within, err := newAddress("", r.Type, r.Name, r.Index)
	if err != nil {
		return err
	}
	module, ok := strings.CutSuffix(r.Address, within.String())
	if !ok || module != "" && !strings.HasSuffix(module, ".") {
		return errorf("the address of a %s is not as Terraform writes it", r.Type)
	}
	address, err := newAddress(strings.TrimSuffix(module, "."), r.Type, r.Name, r.Index)
	if err != nil {
		return err
	}
	return d.add(address, r.Provider, r.Deposed != "", r.Values)
}

// add keeps an instance. Only of those types that there is something to be
// known of the attributes are looked at.
func (d *reader) add(address Address, provider string, deposed bool, raw json.RawMessage) error {
	o := object{address: address, provider: provider, deposed: deposed}
	if known(address.Type) && len(raw) > 0 {
		if err := json.Unmarshal(raw, &o.attributes); err != nil {
			field := ""
			if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				field = ": " + typed.Field // a path of names, without what stands there
			}
			return errorf("the attributes of %s are not as the AWS provider writes them%s", address, field)
		}
	}
	d.objects = append(d.objects, o)
	return nil
}

func (d *reader) output(name string) error {
	var o struct {
		Value     json.RawMessage
		Sensitive bool
	}
	if err := d.json.Decode(&o); err != nil {
		return err
	}
	out := output{name: name, sensitive: o.Sensitive}
	value := json.NewDecoder(bytes.NewReader(o.Value))
	value.UseNumber()
	if err := value.Decode(&out.value); err != nil && len(o.Value) > 0 {
		return err
	}
	d.outputs = append(d.outputs, out)
	return nil
}
