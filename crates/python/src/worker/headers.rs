// SPDX-License-Identifier: Apache-2.0
use super::connection::lock;
use super::exchange::Exchange;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyString};
use std::sync::{Arc, Mutex};
use tidegate_functions::Change;

type Field = (Box<[u8]>, Box<[u8]>);

/// A change that waits to be sent.
enum Edit {
    Set(Box<[u8]>, Box<[u8]>),
    Append(Box<[u8]>, Box<[u8]>),
    Remove(Box<[u8]>),
}

/// Header fields with what was changed in them. Those of a request are read from its frame until
/// the first change.
#[derive(Default)]
pub(super) struct Fields {
    source: Option<Arc<Exchange>>,
    own: Option<Vec<Field>>,
    edits: Vec<Edit>,
}

/// Names that say how a message is framed or where it goes: they are the node's.
fn is_protected(name: &[u8], is_request: bool) -> bool {
    const BOTH: [&[u8]; 9] = [
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
    ];
    BOTH.iter()
        .any(|protected| name.eq_ignore_ascii_case(protected))
        || (is_request
            && (name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"expect")))
}

fn is_token(name: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_token_byte)
}

impl Fields {
    pub(super) fn of_request(exchange: Arc<Exchange>) -> Self {
        Self {
            source: Some(exchange),
            ..Self::default()
        }
    }

    pub(super) fn of_list<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self {
            own: Some(
                fields
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
            ),
            ..Self::default()
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let from_frame = match (&self.own, &self.source) {
            (None, Some(exchange)) => Some(exchange.head.fields().iter()),
            _ => None,
        };
        let own = self
            .own
            .iter()
            .flatten()
            .map(|(name, value)| (&name[..], &value[..]));
        from_frame.into_iter().flatten().chain(own)
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.iter()
            .any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The values under a name joined by `, ` (RFC 9110 §5.2), so that a policy sees all that an
    /// origin server may choose from; of `set-cookie`, which cannot be joined, the first.
    fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut values = self
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let mut joined = values.next()?.to_vec();
        if !name.eq_ignore_ascii_case(b"set-cookie") {
            for value in values {
                joined.extend_from_slice(if name.eq_ignore_ascii_case(b"cookie") {
                    b"; "
                } else {
                    b", "
                });
                joined.extend_from_slice(value);
            }
        }
        Some(joined)
    }

    fn own(&mut self) -> &mut Vec<Field> {
        if self.own.is_none() {
            let list = self
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            self.own = Some(list);
        }
        self.own.get_or_insert_default()
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        let own = self.own();
        own.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        own.push((name.into(), value.into()));
        self.edits.push(Edit::Set(name.into(), value.into()));
    }

    pub(super) fn append(&mut self, name: &[u8], value: &[u8]) {
        self.own().push((name.into(), value.into()));
        self.edits.push(Edit::Append(name.into(), value.into()));
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        if !self.contains(name) {
            return false;
        }
        self.own()
            .retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.edits.push(Edit::Remove(name.into()));
        true
    }

    /// What was changed, in order.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.edits.iter().map(|edit| match edit {
            Edit::Set(name, value) => Change::Set(name, value),
            Edit::Append(name, value) => Change::Append(name, value),
            Edit::Remove(name) => Change::Remove(name),
        })
    }
}

/// Header fields of a request or response: a mutable mapping of text to text whose names have no
/// case. A name that is there several times reads as one value joined by `, ` (RFC 9110 §5.2).
#[pyclass(frozen, mapping, module = "tidegate.functions")]
pub(super) struct Headers {
    pub(super) fields: Arc<Mutex<Fields>>,
    pub(super) is_request: bool,
}

/// Header values are bytes on the wire; as text they are ISO-8859-1, which loses nothing.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn octets(value: &str) -> PyResult<Vec<u8>> {
    let bytes: Option<Vec<u8>> = value
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    let bytes = bytes.ok_or_else(|| {
        PyValueError::new_err("a header's value has characters beyond ISO-8859-1")
    })?;
    check_value(&bytes)?;
    Ok(bytes)
}

pub(super) fn check_value(bytes: &[u8]) -> PyResult<()> {
    if bytes
        .iter()
        .any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f)
    {
        return Err(PyValueError::new_err(
            "a header's value has a line end or another control character",
        ));
    }
    Ok(())
}

pub(super) fn check_name(name: &[u8]) -> PyResult<()> {
    if is_token(name) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{:?} is not a header's name",
        text(name)
    )))
}

impl Headers {
    fn check(&self, name: &str) -> PyResult<()> {
        check_name(name.as_bytes())?;
        if is_protected(name.as_bytes(), self.is_request) {
            return Err(PyValueError::new_err(format!(
                "{name} is set by the gateway; leave it out"
            )));
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in lock(&self.fields).iter() {
            let name = text(name).to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[pymethods]
impl Headers {
    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyString>> {
        match lock(&self.fields).get(name.as_bytes()) {
            Some(value) => Ok(PyString::new(py, &text(&value))),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    #[pyo3(signature = (name, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        match lock(&self.fields).get(name.as_bytes()) {
            Some(value) => Some(PyString::new(py, &text(&value)).into_any()),
            None => default,
        }
    }

    /// Every value under a name, in order.
    pub(super) fn get_all(&self, name: &str) -> Vec<String> {
        let fields = lock(&self.fields);
        fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| text(value))
            .collect()
    }

    fn __setitem__(&self, name: &str, value: &str) -> PyResult<()> {
        self.check(name)?;
        let value = octets(value)?;
        lock(&self.fields).set(name.as_bytes(), &value);
        Ok(())
    }

    /// Adds a field behind those of the same name.
    fn append(&self, name: &str, value: &str) -> PyResult<()> {
        self.check(name)?;
        let value = octets(value)?;
        lock(&self.fields).append(name.as_bytes(), &value);
        Ok(())
    }

    fn __delitem__(&self, name: &str) -> PyResult<()> {
        self.check(name)?;
        if lock(&self.fields).remove(name.as_bytes()) {
            Ok(())
        } else {
            Err(PyKeyError::new_err(name.to_owned()))
        }
    }

    #[pyo3(signature = (name, *default))]
    fn pop<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: &Bound<'py, pyo3::types::PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.check(name)?;
        let mut fields = lock(&self.fields);
        let Some(value) = fields.get(name.as_bytes()) else {
            return default
                .get_item(0)
                .map_err(|_| PyKeyError::new_err(name.to_owned()));
        };
        fields.remove(name.as_bytes());
        Ok(PyString::new(py, &text(&value)).into_any())
    }

    fn setdefault(&self, name: &str, default: &str) -> PyResult<String> {
        let found = lock(&self.fields).get(name.as_bytes());
        match found {
            Some(value) => Ok(text(&value)),
            None => self.__setitem__(name, default).map(|()| default.to_owned()),
        }
    }

    fn update(&self, other: &Bound<'_, PyAny>) -> PyResult<()> {
        for (name, value) in pairs(other)? {
            self.__setitem__(&name, &value)?;
        }
        Ok(())
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>()
            .is_ok_and(|name| lock(&self.fields).contains(name.as_bytes()))
    }

    fn __len__(&self) -> usize {
        self.names().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        PyList::new(py, self.names())?.try_iter()
    }

    /// The names in lower case, each once.
    fn keys(&self) -> Vec<String> {
        self.names()
    }

    fn values(&self) -> Vec<String> {
        let fields = lock(&self.fields);
        self.names_with(&fields)
            .into_iter()
            .map(|(_, value)| value)
            .collect()
    }

    fn items(&self) -> Vec<(String, String)> {
        let fields = lock(&self.fields);
        self.names_with(&fields)
    }

    /// Every field as it stands, names with their case and as often as they are there.
    fn fields(&self) -> Vec<(String, String)> {
        lock(&self.fields)
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = other.py();
        let own = PyDict::new(py);
        for (name, value) in self.items() {
            own.set_item(name, value)?;
        }
        match other.cast::<Self>() {
            Ok(headers) => Ok(self.items() == headers.get().items()),
            Err(_) => own.eq(other),
        }
    }

    fn __repr__(&self) -> String {
        format!("Headers({:?})", self.items())
    }
}

impl Headers {
    fn names_with(&self, fields: &Fields) -> Vec<(String, String)> {
        let mut items: Vec<(String, String)> = Vec::new();
        for (name, _) in fields.iter() {
            let lower = text(name).to_ascii_lowercase();
            if !items.iter().any(|(seen, _)| *seen == lower) {
                items.push((
                    lower,
                    fields.get(name).as_deref().map(text).unwrap_or_default(),
                ));
            }
        }
        items
    }
}

/// Names and values of a mapping, or of an iterable of pairs.
pub(super) fn pairs(source: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let items = if source.hasattr("items")? {
        source.call_method0("items")?
    } else {
        source.clone()
    };
    items
        .try_iter()?
        .map(|pair| pair?.extract::<(String, String)>())
        .collect()
}
