// SPDX-License-Identifier: Apache-2.0
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::pin::Pin;
use std::sync::Arc;

/// A request to an authority.
#[derive(Debug)]
pub struct Question {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Asks an authority and waits: who calls this library decides about proxies, trusted roots and deadlines.
/// An error is what went wrong, for people.
#[derive(Clone)]
pub struct Transport(Arc<dyn Fn(Question) -> Result<Answer, String> + Send + Sync>);

impl Transport {
    /// By a function that blocks.
    pub fn new(ask: impl Fn(Question) -> Result<Answer, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(crate) fn boxed(&self) -> Box<dyn HttpClient> {
        Box::new(self.clone())
    }
}

/// Marks what went wrong between us and the authority, as against what it has said.
#[derive(Debug)]
pub(crate) struct Unreachable(pub(crate) String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl HttpClient for Transport {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let ask = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let fields = parts.headers.iter().map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            });
            let answer = ask(Question {
                method: parts.method.to_string(),
                url: parts.uri.to_string(),
                fields: fields.collect(),
                body: body.to_bytes().to_vec(),
            })
            .map_err(|message| Error::Other(Box::new(Unreachable(message))))?;
            let mut response = http::Response::builder().status(answer.status);
            for (name, value) in &answer.fields {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(answer.body)))?.into())
        })
    }
}
