use std::io;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A program that is measured could not be started, or ended early.
    #[error("a program to measure ended before it had said {wanted:?}; its own words are on stderr")]
    Part {
        /// What was waited for.
        wanted: &'static str,
    },
    /// A process could not be started or looked at.
    #[error("a process could not be started or looked at")]
    Process(#[from] io::Error),
    /// Redis did not do as the measurement needs.
    #[error("Redis did not do as the measurement needs")]
    Redis(#[from] fred::error::Error),
    /// There is no server to measure on.
    #[error("there is no Redis server to measure on")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The library could not be used.
    #[error("streamherd could not be used")]
    Streamherd(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What a part said can't be read.
    #[error("what a program to measure said can't be read")]
    Words(#[from] serde_json::Error),
    /// A workload did not come to the end that it has to.
    #[error("the workload did not end as it has to: {0}")]
    Outcome(String),
}

impl BenchError {
    pub(crate) fn streamherd(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Streamherd(Box::new(error))
    }
}
