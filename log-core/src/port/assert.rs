//! What only the holder of the log's key can say.

use std::future::Future;
use std::time::Duration;

use tlog::TreeSize;

/// Answers questions under the log's key. The holder of the key gathers the answer itself: it never signs bytes that it is
/// given.
pub trait Assert: Send + Sync {
    /// What is asked.
    type Question;
    /// The signed answer.
    type Answer;
    /// Why there is no answer, and never will be one to this question.
    type Refusal;

    /// The answer as of a published size of at least `size`, gathered within `budget`.
    fn assert(
        &self,
        question: Self::Question,
        size: TreeSize,
        budget: Duration,
    ) -> impl Future<Output = Result<Asserted<Self::Answer>, Self::Refusal>> + Send;
}

/// What a question led to.
#[derive(Clone, Debug)]
pub enum Asserted<A> {
    /// The answer.
    Signed(A),
    /// The holder of the key has not published so much yet: ask again.
    Behind,
    /// The holder of the key has other work for longer than the budget: ask again later.
    Busy,
}
