// SPDX-License-Identifier: Apache-2.0

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.CookieManager;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Sends requests of many shapes with Java's two clients to the URL given, for the benign corpus. */
public class Client {
    static String base;

    public static void main(String[] arguments) throws Exception {
        base = arguments[1];
        if (arguments[0].equals("client")) {
            modern();
        } else {
            classic();
        }
        System.exit(0);
    }

    static void modern() throws Exception {
        for (HttpClient.Version version : HttpClient.Version.values()) {
            HttpClient client = HttpClient.newBuilder().version(version).cookieHandler(new CookieManager())
                .followRedirects(HttpClient.Redirect.NORMAL).connectTimeout(Duration.ofSeconds(5)).build();
            send(client, request("/plain").GET());
            send(client, request("/head").method("HEAD", HttpRequest.BodyPublishers.noBody()));
            send(client, request("/items").POST(HttpRequest.BodyPublishers.ofString("{\"a\":1}")).header("Content-Type", "application/json"));
            send(client, request("/items/1").PUT(HttpRequest.BodyPublishers.ofString("é", StandardCharsets.UTF_8)));
            send(client, request("/items/1").DELETE());
            send(client, request("/items/1").method("PATCH", HttpRequest.BodyPublishers.ofString("[]")));
            send(client, request("/stream").POST(HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream("unknown length".getBytes()))));
            send(client, request("/empty").POST(HttpRequest.BodyPublishers.noBody()));
            send(client, request("/expect").expectContinue(true).POST(HttpRequest.BodyPublishers.ofString("expected")));
            send(client, request("/caf%C3%A9/na%20me?q=%E2%82%AC&x=1").GET());
            send(client, request("/redirect").GET());
            send(client, request("/cookies").GET());
            send(client, request("/fields").header("Accept", "text/html").header("Accept", "*/*;q=0.1").header("Range", "bytes=0-99").GET());
        }
        try {
            WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder().subprotocols("chat", "v2.chat")
                .buildAsync(URI.create(base.replace("http:", "ws:") + "/socket"), new WebSocket.Listener() { }).get(3, TimeUnit.SECONDS);
            socket.abort();
        } catch (Exception ignored) {
            // the handshake was sent, which is all that is wanted
        }
    }

    static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(5));
    }

    static void send(HttpClient client, HttpRequest.Builder request) {
        try {
            client.send(request.build(), HttpResponse.BodyHandlers.discarding());
        } catch (Exception problem) {
            System.err.println(problem);
        }
    }

    static void classic() throws Exception {
        connect("GET", "/plain", null, false, false);
        connect("HEAD", "/head", null, false, false);
        connect("OPTIONS", "/options", null, false, false);
        connect("DELETE", "/items/1", null, false, false);
        connect("POST", "/form", "a=1&b=%C3%A9", false, false);
        connect("PUT", "/items/1", "{\"a\":1}", false, false);
        connect("POST", "/chunked", "unknown length", true, false);
        connect("POST", "/fixed", "fixed length", false, true);
        connect("GET", "/caf%C3%A9?q=%E2%82%AC", null, false, false);
        connect("GET", "/redirect", null, false, false);
        System.setProperty("http.keepAlive", "false");
        connect("GET", "/close", null, false, false);
    }

    static void connect(String method, String path, String body, boolean chunked, boolean fixed) {
        try {
            HttpURLConnection connection = (HttpURLConnection) new URL(base + path).openConnection();
            connection.setRequestMethod(method);
            connection.setReadTimeout(5000);
            connection.setRequestProperty("X-Custom", "value");
            if (body != null) {
                byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
                connection.setDoOutput(true);
                if (chunked) {
                    connection.setChunkedStreamingMode(4);
                }
                if (fixed) {
                    connection.setFixedLengthStreamingMode(bytes.length);
                }
                connection.getOutputStream().write(bytes);
            }
            connection.getResponseCode();
            try (InputStream stream = connection.getInputStream()) {
                stream.readAllBytes();
            }
        } catch (Exception problem) {
            System.err.println(problem);
        }
    }
}
