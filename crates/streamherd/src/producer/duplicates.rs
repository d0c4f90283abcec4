/// What becomes of a submit of a data stream that is queued, delayed or held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Duplicates {
    /// The data stream exists once, and no wake-up and no info is lost, as with the work queue of a Kubernetes controller.
    ///
    /// A submit of a queued stream changes nothing where the info is the same. Where it differs, or while the stream is
    /// held, the stream is queued once more when its present run has ended, with the info that was submitted last and with
    /// counters of its own. A submit of a delayed one makes it due now. An entry that somebody deleted never keeps its name
    /// from being queued. A submit whose reply was lost may be repeated without harm.
    #[default]
    Coalesce,
    /// Each submit is a run of its own, and several of one name may run at the same time. So is what other programs add to
    /// the input stream.
    Parallel,
}
