// SPDX-License-Identifier: Apache-2.0

// A recorder on Go's net/http: tells in X-Echo-* what it took each request for. Prints its port.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

func main() {
	var count atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	// Not a ServeMux: that redirects paths it would rather have cleaned.
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.RequestURI == "/echo-count" {
			fmt.Fprintf(writer, `{"count": %d, "malformed": 0}`, count.Load())
			return
		}
		count.Add(1)
		length, _ := io.Copy(io.Discard, request.Body)
		fields := writer.Header()
		fields.Set("X-Echo-Method", request.Method)
		fields.Set("X-Echo-Target", request.RequestURI)
		fields.Set("X-Echo-Host", request.Host)
		fields.Set("X-Echo-Length", strconv.FormatInt(length, 10))
		io.WriteString(writer, "ok")
	})
	http.Serve(listener, handler)
}
