//! The stack of words in front of a request or survey: where its answer has to go.
