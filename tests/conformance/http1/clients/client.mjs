// SPDX-License-Identifier: Apache-2.0
// Sends requests of many shapes with Node's http module or fetch to the URL given, for the benign corpus.
import http from 'node:http';

const [kind, base] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

function plain(method, path, { body, headers, options } = {}) {
  return new Promise((resolve) => {
    const request = http.request(base + path, { method, headers, agent, timeout: 5000, ...options }, (response) => {
      response.resume();
      response.on('end', resolve);
      response.on('error', resolve);
    });
    request.on('error', resolve);
    request.on('upgrade', (_, socket) => { socket.destroy(); resolve(); });
    for (const part of Array.isArray(body) ? body : [body]) {
      if (part !== undefined) request.write(part);
    }
    request.end();
  });
}

async function withHttp() {
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PROPFIND', 'M-SEARCH']) await plain(method, '/plain');
  for (const method of ['POST', 'PUT', 'PATCH']) {
    await plain(method, '/items', { body: '{"a":1}', headers: { 'Content-Type': 'application/json', 'Content-Length': 7 } });
    await plain(method, '/chunked', { body: ['unknown ', 'length'] });
  }
  await plain('POST', '/empty');
  await plain('GET', '/caf%C3%A9/na%20me?q=%E2%82%AC&x[]=1|2');
  await plain('GET', '/cookies', { headers: { Cookie: ['a=1', 'b=2'] } });
  await plain('GET', '/fields', { headers: { 'X-Many': ['1', '2', '3'], Accept: '*/*', Range: 'bytes=0-99', 'X-Latin': 'D\u00fcsseldorf' } });
  await plain('GET', '/close', { options: { agent: new http.Agent({ keepAlive: false }) } });
  await plain('PUT', '/expect', { body: 'x'.repeat(2000), headers: { Expect: '100-continue', 'Content-Length': 2000 } });
  await plain('GET', '/socket', { headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } });
  const trailing = http.request(base + '/trailers', { method: 'POST', headers: { Trailer: 'X-Sum' }, agent });
  trailing.on('error', () => {});
  const done = new Promise((resolve) => trailing.on('response', (response) => { response.resume(); response.on('end', resolve); }));
  trailing.write('with trailers');
  trailing.addTrailers({ 'X-Sum': '42' });
  trailing.end();
  await done;
}

async function withFetch() {
  const send = async (path, options) => { try { await (await fetch(base + path, options)).arrayBuffer(); } catch (problem) { console.error(String(problem)); } };
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PURGE']) await send('/plain', { method });
  for (const method of ['POST', 'PUT', 'PATCH']) await send('/items', { method, body: '{"a":1}', headers: { 'Content-Type': 'application/json' } });
  await send('/empty', { method: 'POST' });
  await send('/form', { method: 'POST', body: new URLSearchParams({ a: '1', b: 'é&=' }) });
  const form = new FormData();
  form.append('field', 'value');
  form.append('file', new Blob(['file body'], { type: 'text/plain' }), 'übung.txt');
  await send('/upload', { method: 'POST', body: form });
  await send('/stream', { method: 'POST', duplex: 'half', body: new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('streamed')); c.close(); } }) });
  await send('/café/na me?q=€&x[]=1|2');
  await send('/a/../b/./c//d');
  await send('/redirect');
  await send('/redirect307', { method: 'POST', body: 'again' });
  await send('/fields', { headers: [['Accept', 'text/html'], ['Accept', '*/*;q=0.1'], ['Range', 'bytes=0-99'], ['If-None-Match', 'W/"a", "b"'], ['X-Empty', '']] });
  await send('/binary', { method: 'PUT', body: new Uint8Array(3000) });
  await send('/cached', { cache: 'no-store' });
  await send('/sparse', { keepalive: true, credentials: 'include', referrer: 'about:client' });
}

await (kind === 'http' ? withHttp() : withFetch());
process.exit(0);
