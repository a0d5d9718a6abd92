// SPDX-License-Identifier: Apache-2.0
// A recorder on Node's http module: tells in X-Echo-* what it took each request for. Prints its port.
import http from 'node:http';

let count = 0;
let malformed = 0;
const server = http.createServer((request, response) => {
  if (request.url === '/echo-count') {
    response.end(JSON.stringify({ count, malformed }));
    return;
  }
  count += 1;
  let length = 0;
  request.on('data', (chunk) => { length += chunk.length; });
  request.on('end', () => {
    response.setHeader('X-Echo-Method', request.method);
    response.setHeader('X-Echo-Target', request.url);
    response.setHeader('X-Echo-Host', request.headers.host ?? '');
    response.setHeader('X-Echo-Length', String(length));
    response.end('ok');
  });
});
server.on('clientError', (_, socket) => { malformed += 1; socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'); });
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
