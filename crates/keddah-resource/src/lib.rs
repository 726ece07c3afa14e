//! Resource kinds: what should be (spec), what is (observed), and the pure difference between them.
