//! Reading replies without trust: whatever a server sends is a value or an error, never a panic.

use std::time::Duration;

use fred::types::Value;

use super::error::StoreError;
use crate::entry::Fields;
use crate::id::StreamId;

/// A reply, with the verb it answers for its errors.
#[derive(Clone, Copy)]
pub(super) struct Reply<'a> {
    operation: &'static str,
    value: &'a Value,
}

impl<'a> Reply<'a> {
    pub(super) const fn new(operation: &'static str, value: &'a Value) -> Self {
        Self { operation, value }
    }

    pub(super) fn unexpected(self, wanted: &str) -> StoreError {
        StoreError::reply(self.operation, format!("wanted {wanted}, got {:?}", self.value.kind()))
    }

    pub(super) fn list(self) -> Result<impl ExactSizeIterator<Item = Self> + Clone + use<'a>, StoreError> {
        let Value::Array(items) = self.value else {
            return Err(self.unexpected("a list"));
        };
        let operation = self.operation;
        Ok(items.iter().map(move |value| Reply { operation, value }))
    }

    pub(super) fn at(self, index: usize) -> Result<Self, StoreError> {
        self.list()?.nth(index).ok_or_else(|| self.unexpected("a longer list"))
    }

    /// The first item as a word: what a script calls its outcome.
    pub(super) fn outcome(self) -> Result<&'a str, StoreError> {
        self.at(0)?.text()
    }

    pub(super) const fn is_nil(self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], StoreError> {
        match self.value {
            Value::String(text) => Ok(text.as_bytes()),
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.unexpected("bytes")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, StoreError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.unexpected("UTF-8"))
    }

    pub(super) fn parsed<T: std::str::FromStr>(self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.unexpected(std::any::type_name::<T>()))
    }

    pub(super) fn number(self) -> Result<u64, StoreError> {
        match self.value {
            Value::Integer(n) => u64::try_from(*n).map_err(|_| self.unexpected("a number not below zero")),
            _ => self.parsed(),
        }
    }

    /// Milliseconds; -1 for never.
    pub(super) fn wait(self) -> Result<Option<Duration>, StoreError> {
        match self.value {
            Value::Integer(-1) => Ok(None),
            _ => self.number().map(|ms| Some(Duration::from_millis(ms))),
        }
    }

    pub(super) fn stream_id(self) -> Result<StreamId, StoreError> {
        self.parsed()
    }

    pub(super) fn fields(self) -> Result<Fields, StoreError> {
        let items = self.list()?;
        let mut fields = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            fields.push((name.bytes()?.to_vec(), value.bytes()?.to_vec()));
        }
        Ok(fields)
    }

    /// `[id, [field, value, …]]`.
    pub(super) fn entry(self) -> Result<(StreamId, Fields), StoreError> {
        Ok((self.at(0)?.stream_id()?, self.at(1)?.fields()?))
    }
}
