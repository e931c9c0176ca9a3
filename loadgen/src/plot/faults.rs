//! What a fault did under each policy: the numbers behind the fault charts, their words and table.
//!
//! `standing` reads phases of the trials into medians, `course` draws p99 over time for one fault,
//! `overview` all faults side by side, `wording` says what they show. A run that a fault befell is
//! judged by these alone: percentiles over a whole such run would mix what they set apart.

pub(crate) mod course;
pub(crate) mod overview;
pub(crate) mod standing;
pub(crate) mod told;
pub(crate) mod wording;
