package sandbox

import (
	"encoding/json"
	"net/http"
)

// jsonProtocol is awsJson 1.1.
type jsonProtocol struct{}

func (jsonProtocol) answer(r *request, v any) (answer, error) {
	if v == nil {
		v = struct{}{}
	}
	body, err := json.Marshal(v)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, header: jsonHeader(r), body: body}, nil
}

func (jsonProtocol) fail(r *request, e *apiError) answer {
	h := jsonHeader(r)
	h.Set("X-Amzn-Errortype", e.code)
	// Two strings always marshal.
	body, _ := json.Marshal(map[string]string{"__type": e.code, "message": e.message})
	return answer{status: e.status, code: e.code, header: h, body: body}
}

func jsonHeader(r *request) http.Header {
	return http.Header{
		"Content-Type":     {"application/x-amz-json-1.1"},
		"X-Amzn-Requestid": {r.id},
	}
}
