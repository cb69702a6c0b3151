package sandbox

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
)

// queryProtocol is AWS's query protocol: form in, XML out.
type queryProtocol struct {
	namespace string
}

// members is a list in the query protocol's XML, whose element is there even
// if the list is empty, so that clients answer an empty list and not none.
type members[T any] struct {
	Member []T `xml:"member"`
}

type responseMetadata struct {
	RequestID string `xml:"RequestId"`
}

func (p queryProtocol) answer(r *request, v any) (answer, error) {
	var b bytes.Buffer
	enc := xml.NewEncoder(&b)
	root := xml.StartElement{
		Name: xml.Name{Local: r.operation + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: p.namespace}},
	}
	if err := enc.EncodeToken(root); err != nil {
		return answer{}, err
	}
	if v != nil {
		if err := enc.EncodeElement(v, xml.StartElement{Name: xml.Name{Local: r.operation + "Result"}}); err != nil {
			return answer{}, err
		}
	}
	if err := enc.EncodeElement(responseMetadata{r.id}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}); err != nil {
		return answer{}, err
	}
	if err := enc.EncodeToken(root.End()); err != nil {
		return answer{}, err
	}
	if err := enc.Close(); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, header: queryHeader(r), body: b.Bytes()}, nil
}

func (p queryProtocol) fail(r *request, e *apiError) answer {
	type detail struct {
		Type    string
		Code    string
		Message string
	}
	doc := struct {
		XMLName   xml.Name
		Error     detail
		RequestID string `xml:"RequestId"`
	}{
		XMLName:   xml.Name{Space: p.namespace, Local: "ErrorResponse"},
		Error:     detail{"Sender", e.code, e.message},
		RequestID: r.id,
	}
	if e.status >= http.StatusInternalServerError {
		doc.Error.Type = "Receiver"
	}
	// Strings always marshal.
	body, _ := xml.Marshal(doc)
	return answer{status: e.status, code: e.code, header: queryHeader(r), body: body}
}

// ec2Protocol is EC2's own form of the query protocol. The sandbox has nothing
// of EC2 but the answer that it has nothing.
type ec2Protocol struct{ queryProtocol }

func (ec2Protocol) fail(r *request, e *apiError) answer {
	type detail struct{ Code, Message string }
	// Strings always marshal.
	body, _ := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []detail `xml:"Errors>Error"`
		RequestID string   `xml:"RequestID"`
	}{Errors: []detail{{e.code, e.message}}, RequestID: r.id})
	return answer{status: e.status, code: e.code, header: queryHeader(r), body: body}
}

func queryHeader(r *request) http.Header {
	return http.Header{
		"Content-Type":     {"text/xml"},
		"X-Amzn-Requestid": {r.id},
	}
}

// formList reads NAME.member.1, NAME.member.2 and so on.
func formList(form url.Values, name string) []string {
	var list []string
	for i := 1; ; i++ {
		k := name + ".member." + strconv.Itoa(i)
		if !form.Has(k) {
			return list
		}
		list = append(list, form.Get(k))
	}
}
