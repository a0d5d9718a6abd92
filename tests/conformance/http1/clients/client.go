// SPDX-License-Identifier: Apache-2.0

// Sends requests of many shapes with Go's net/http to the URL given, for the benign corpus.
package main

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	base := os.Args[1]
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Timeout: 5 * time.Second}
	send := func(method, path string, body io.Reader, fields ...string) {
		request, err := http.NewRequest(method, base+path, body)
		if err != nil {
			panic(err)
		}
		for i := 0; i+1 < len(fields); i += 2 {
			request.Header.Add(fields[i], fields[i+1])
		}
		response, err := client.Do(request)
		if err != nil {
			return
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "QUERY"} {
		send(method, "/plain", nil)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "QUERY"} {
		send(method, "/items", strings.NewReader(`{"name":"tide"}`), "Content-Type", "application/json")
	}
	send("POST", "/stream", io.MultiReader(strings.NewReader("unknown "), strings.NewReader("length")))
	send("POST", "/empty", nil)
	send("POST", "/form", strings.NewReader(url.Values{"a": {"1"}, "b": {"é&="}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	send("GET", "/caf%C3%A9/na%20me?q=%E2%82%AC&x[]=1", nil)
	send("GET", "/a;b=c/d,e/@f:g!$&'()*+=", nil)
	send("GET", "/range", nil, "Range", "bytes=0-99")
	send("GET", "/conditional", nil, "If-None-Match", `"abc"`, "If-Modified-Since", "Sat, 01 Nov 2025 00:00:00 GMT")
	send("GET", "/auth", nil, "Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")
	send("GET", "/cookies", nil)
	send("GET", "/cookies", nil, "Cookie", "extra=1; other=\"quoted\"")
	send("GET", "/redirect", nil)
	send("POST", "/redirect307", strings.NewReader("again"))
	send("PUT", "/expect", bytes.NewReader(make([]byte, 4096)), "Expect", "100-continue")
	send("GET", "/accept", nil, "Accept", "text/html", "Accept", "application/json;q=0.5", "Accept-Language", "en-GB,de;q=0.7")
	send("GET", "/empty-value", nil, "X-Empty", "")
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	part, _ := writer.CreateFormFile("file", "übung.txt")
	part.Write([]byte("file body"))
	writer.WriteField("field", "value")
	writer.Close()
	send("POST", "/upload", &form, "Content-Type", writer.FormDataContentType())
	trailer, _ := http.NewRequestWithContext(context.Background(), "POST", base+"/trailers", io.NopCloser(strings.NewReader("with trailers")))
	trailer.Trailer = http.Header{"X-Checksum": {"42"}}
	if response, err := client.Do(trailer); err == nil {
		response.Body.Close()
	}
	closing, _ := http.NewRequest("GET", base+"/close", nil)
	closing.Close = true
	if response, err := client.Do(closing); err == nil {
		response.Body.Close()
	}
	proxy, _ := url.Parse(base)
	through := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}, Timeout: 5 * time.Second}
	if response, err := through.Get("http://shop.example/through?proxy=1"); err == nil {
		response.Body.Close()
	}
	compressed := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	if response, err := compressed.Get(base + "/uncompressed"); err == nil {
		response.Body.Close()
	}
}
