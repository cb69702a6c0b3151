package monitor_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

var screenshots = flag.String("screenshots", "", "folder to leave screenshots of the status page in")

// A browser is a page in headless Chromium, spoken to by its DevTools protocol
// through a pipe.
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	id      int
	session string
	words   []string // what the page has complained of
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	fromTest, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromBrowser, toTest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{fromTest, toTest} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	toTest.Close()
	b := &browser{t: t, in: toBrowser, out: bufio.NewReader(fromBrowser)}
	t.Cleanup(func() {
		_, _ = b.in.WriteString(`{"id":0,"method":"Browser.close"}` + "\x00") // it may be gone before it answers
		_ = cmd.Wait()
		toBrowser.Close()
		fromBrowser.Close()
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})
	b.session = b.call("Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})["sessionId"].(string)
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility"} {
		b.call(domain+".enable", nil)
	}
	return b
}

// call makes a call and waits for its answer. What the page complains of
// meanwhile is kept.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		line, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Method string
			Params map[string]any
			Result map[string]any
			Error  any
		}
		if err := json.Unmarshal(line[:len(line)-1], &answer); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case answer.Method == "Log.entryAdded", answer.Method == "Runtime.exceptionThrown":
			b.words = append(b.words, fmt.Sprint(answer.Params))
		case answer.ID == b.id && answer.Error != nil:
			b.t.Fatalf("%s: %v", method, answer.Error)
		case answer.ID == b.id:
			return answer.Result
		}
	}
}

// eval answers with the value of an expression, once it is there.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	result := b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true})
	if e, ok := result["exceptionDetails"]; ok {
		b.t.Fatalf("%s: %v", expression, e)
	}
	return result["result"].(map[string]any)["value"]
}

func (b *browser) want(expression string, want any) {
	b.t.Helper()
	if got := b.eval(expression); got != want {
		b.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

func (b *browser) press(key string) {
	b.t.Helper()
	text := map[string]string{"Enter": "\r", " ": " "}[key]
	code := map[string]int{"Enter": 13, "Tab": 9, " ": 32}[key]
	for _, kind := range []string{"keyDown", "keyUp"} {
		params := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if text != "" && kind == "keyDown" {
			params["text"] = text
		}
		b.call("Input.dispatchKeyEvent", params)
	}
}

func (b *browser) open(url string, width int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}}})
	b.call("Page.navigate", map[string]any{"url": url})
	// The document may not be there yet when the navigation has been begun.
	b.eval(`(async () => {
		while (document.readyState !== 'complete' || typeof ask === 'undefined') await new Promise(r => setTimeout(r, 5));
		await ask();
	})()`)
}

func (b *browser) shoot(name string) {
	if *screenshots == "" {
		return
	}
	b.t.Helper()
	data := b.call("Page.captureScreenshot", map[string]any{"format": "png"})["data"].(string)
	png, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// contrast is the least contrast of any text that is seen against what is
// behind it (WCAG 2.1, 1.4.3).
const contrast = `(() => {
	const rgb = c => c.match(/[\d.]+/g).map(Number);
	const lum = c => { const [r, g, b] = rgb(c).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	let least = 21, where = '';
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('svg, [hidden], .hidden, noscript') || !e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
		let back = e;
		while (back && rgb(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
		const a = lum(getComputedStyle(e).color), b = lum(getComputedStyle(back || document.body).backgroundColor);
		const c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (c < least) { least = c; where = e.outerHTML.slice(0, 100); }
	}
	return least.toFixed(2) + ' ' + where;
})()`

// The status page in a browser: at 400 pixels and wide, light and dark, with a
// keyboard, for a screen reader, with hundreds of stacks, and when the process
// is gone.
func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	n := 10
	var gone atomic.Bool
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/status.json" {
			t.Errorf("the page asks for %s", r.URL)
		}
		asked.Add(1)
		if gone.Load() {
			panic(http.ErrAbortHandler)
		}
		handler(watching(n)).ServeHTTP(w, r)
	}))
	defer server.Close()

	for width, dark := range map[int]bool{400: true, 1100: false} {
		name := fmt.Sprintf("%d-%s", width, map[bool]string{false: "light", true: "dark"}[dark])
		b.open(server.URL, width, dark)
		b.shoot(name)
		b.want(`document.querySelectorAll('.stacks > li').length`, 10.0)
		b.want(`document.getElementById('summary').textContent`, "10 stacks: 3 to look at, 1 drifted, 1 waiting, 5 in sync")
		b.want(`document.title`, "4 not well – churn-reconcile")
		// All that can be opened is open.
		b.eval(`(async () => {
				document.querySelectorAll('details').forEach(d => { d.open = true; });
				while (document.querySelectorAll('.body').length < 10) await new Promise(r => setTimeout(r, 5));
			})()`)
		b.shoot(name + "-open")
		b.want(`document.documentElement.scrollWidth <= innerWidth`, true)
		if got, _ := b.eval(contrast).(string); !strings.Contains(got, " ") || got < "4.5" && len(strings.Split(got, ".")[0]) == 1 {
			t.Errorf("%s: contrast %s", name, got)
		}
		// What AWS and a spec say is text.
		b.want(`document.images.length`, 0.0)
		b.want(`document.body.textContent.includes('<img src=x onerror=')`, true)
		b.want(`document.body.textContent.includes('To correct it now: churn-reconcile -f stacks/team-001.yaml.')`, true)
		b.want(`document.body.textContent.includes('next line\\u{202e}\\u{1b}[31m')`, true)
	}
	if len(b.words) > 0 {
		t.Errorf("the page complains: %s", strings.Join(b.words, "\n"))
	}

	t.Run("keyboard", func(t *testing.T) {
		b.open(server.URL, 1100, false)
		active := func() string {
			return b.eval(`(e => e.id || e.dataset.state || (e.localName + ' ' + e.innerText.replace(/\s+/g, ' ')))(document.activeElement)`).(string)
		}
		for _, want := range []string{"filter", "failed", "drifted", "waiting", "in_sync", "summary ✕ to look at team-002/prod"} {
			b.press("Tab")
			if got := active(); !strings.HasPrefix(got, want) {
				t.Errorf("the focus is on %q, want %q", got, want)
			}
		}
		b.press("Enter")
		b.eval(`new Promise(r => setTimeout(r, 50))`)
		b.want(`document.activeElement.parentElement.open && !!document.activeElement.parentElement.querySelector('.body')`, true)
		// A new document leaves the reader where they are.
		b.eval(`ask()`)
		if got := active(); !strings.HasPrefix(got, "summary ✕ to look at team-002/prod") {
			t.Errorf("the focus is on %q after an update", got)
		}
		b.want(`document.activeElement.parentElement.open`, true)
		b.eval(`document.querySelector('[data-state=drifted]').focus()`)
		b.press(" ")
		b.want(`document.querySelector('[data-state=drifted]').getAttribute('aria-pressed')`, "true")
		b.want(`[...document.querySelectorAll('.stacks > li')].filter(e => e.checkVisibility()).length`, 1.0)
	})

	t.Run("screen reader", func(t *testing.T) {
		b.open(server.URL, 1100, false)
		roles := map[string]int{}
		names := map[string]bool{}
		for _, node := range b.call("Accessibility.getFullAXTree", nil)["nodes"].([]any) {
			node := node.(map[string]any)
			if node["ignored"] == true {
				continue
			}
			value := func(key string) string {
				v, _ := node[key].(map[string]any)
				s, _ := v["value"].(string)
				return s
			}
			roles[value("role")]++
			names[value("role")+": "+value("name")] = true
			if role := value("role"); (role == "button" || role == "image" || role == "DisclosureTriangle" || role == "searchbox") && value("name") == "" {
				t.Errorf("a %s without a name", role)
			}
		}
		for _, role := range []string{"main", "heading", "status", "list", "listitem", "searchbox", "button", "DisclosureTriangle", "image", "group"} {
			if roles[role] == 0 {
				t.Errorf("there is no %s: %v", role, roles)
			}
		}
		if !names["searchbox: Show stacks whose name has"] || !names["image: the last rounds: 5 corrected, 43 in sync"] {
			t.Errorf("%v", names)
		}
	})

	t.Run("500 stacks", func(t *testing.T) {
		n = 500
		defer func() { n = 10 }()
		b.open(server.URL, 1100, false)
		b.shoot("500")
		b.want(`document.querySelectorAll('.stacks > li').length`, 500.0)
		if nodes := b.eval(`document.querySelectorAll('*').length`).(float64); nodes > 15000 {
			t.Errorf("%v elements", nodes)
		}
		b.eval(`(f => { f.value = 'team-49'; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))`)
		b.want(`[...document.querySelectorAll('.stacks > li')].filter(e => e.checkVisibility()).length`, 10.0)
		b.eval(`(f => { f.value = 'nobody'; f.dispatchEvent(new Event('input')); })(document.getElementById('filter'))`)
		b.want(`document.getElementById('none').checkVisibility()`, true)
		b.shoot("none")
	})

	t.Run("gone", func(t *testing.T) {
		b.open(server.URL, 400, true)
		b.want(`document.getElementById('stale').checkVisibility()`, false)
		gone.Store(true)
		b.eval(`ask()`)
		b.shoot("gone")
		b.want(`document.getElementById('stale').innerText`, "churn-reconcile has not answered since 2026-01-05T03:00:00Z. What stands here is how things were then.")
		b.want(`document.title`, "(stale) 4 not well – churn-reconcile")
		b.want(`document.querySelectorAll('.stacks > li').length`, 10.0)
		gone.Store(false)
		b.eval(`ask()`)
		b.want(`document.getElementById('stale').checkVisibility()`, false)
		b.want(`document.title`, "4 not well – churn-reconcile")
	})
}
