/// What a server answered, as RESP2 has it.
///
/// The conversions are for assertions: they panic and show the reply when it is of another kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The null bulk string or the null array.
    Nil,
    /// An integer.
    Int(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// A status such as `OK`.
    Status(String),
    /// An error, with its code: `NOSCRIPT No matching script.`
    Error(String),
    /// An array.
    Array(Vec<Self>),
}

impl Reply {
    /// The integer, also out of a string that holds one (as `GET` answers).
    ///
    /// # Panics
    ///
    /// If the reply is no integer.
    #[must_use]
    #[track_caller]
    pub fn int(&self) -> i64 {
        let parsed = match self {
            Self::Int(n) => Some(*n),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok().and_then(|s| s.parse().ok()),
            _ => None,
        };
        parsed.unwrap_or_else(|| self.is_not("an integer"))
    }

    /// The bulk string, status or integer as text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Panics
    ///
    /// If the reply is nil, an array or an error.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Status(status) => status.clone(),
            Self::Int(n) => n.to_string(),
            _ => self.is_not("a string"),
        }
    }

    /// The bytes of a bulk string.
    ///
    /// # Panics
    ///
    /// If the reply is no bulk string.
    #[must_use]
    #[track_caller]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bulk(bytes) => bytes.clone(),
            _ => self.is_not("a bulk string"),
        }
    }

    /// The elements of an array.
    ///
    /// # Panics
    ///
    /// If the reply is no array; the null array, which `XREADGROUP` answers when there is nothing, is none.
    #[must_use]
    #[track_caller]
    pub fn array(&self) -> Vec<Self> {
        match self {
            Self::Array(elements) => elements.clone(),
            _ => self.is_not("an array"),
        }
    }

    /// The elements of an array of strings.
    ///
    /// # Panics
    ///
    /// If the reply is no array, or one of its elements no string.
    #[must_use]
    #[track_caller]
    pub fn strings(&self) -> Vec<String> {
        let mut strings = Vec::new();
        for element in self.array() {
            strings.push(element.text());
        }
        strings
    }

    /// The fields and values of a flat array, as `HGETALL` and `ZRANGE … WITHSCORES` answer.
    ///
    /// # Panics
    ///
    /// If the reply is no array of an even number of strings.
    #[must_use]
    #[track_caller]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let strings = self.strings();
        if !strings.len().is_multiple_of(2) {
            self.is_not("an array of pairs");
        }
        strings
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// The reply itself, unless it is an error.
    ///
    /// # Panics
    ///
    /// If the reply is an error.
    #[expect(
        clippy::must_use_candidate,
        reason = "it is an assertion first; most callers need nothing from the reply"
    )]
    #[track_caller]
    pub fn ok(self) -> Self {
        if self.is_error() {
            self.is_not("a success");
        }
        self
    }

    /// The error's text, with its code.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(message) => Some(message),
            _ => None,
        }
    }

    /// Whether there was nothing to answer.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Whether the server refused.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    #[track_caller]
    fn is_not(&self, wanted: &str) -> ! {
        panic!("expected {wanted} from redis, got {}", self.shown())
    }

    /// Like `Debug`, with bulk strings readable.
    fn shown(&self) -> String {
        match self {
            Self::Bulk(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
            Self::Array(elements) => {
                let shown: Vec<_> = elements.iter().map(Self::shown).collect();
                format!("[{}]", shown.join(", "))
            }
            other => format!("{other:?}"),
        }
    }
}
