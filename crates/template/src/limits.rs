//! What a template may cost. It comes from a command line, or from a document that somebody else
//! wrote: no text makes it run for ever or fill the memory.

/// Longest template. A command line's argument is at most 128 KiB.
pub const SOURCE_LIMIT_BYTES: usize = 1 << 20;
/// Deepest nesting of blocks (each `else if` is one) and of parentheses in a template's text.
/// The calls of parser and evaluator nest as deep.
pub const NESTING_LIMIT: usize = 100;

/// What running a template may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting: templates in templates, with their blocks and parentheses. Each costs some
    /// kilobytes of the stack.
    pub depth: usize,
    /// Steps: nodes that are evaluated, passes of loops, elements and blocks of 64 bytes that
    /// functions take or make.
    pub steps: u64,
    /// Longest text that is written.
    pub output_bytes: usize,
    /// Longest text that one function makes.
    pub text_bytes: usize,
    /// Longest list that one function makes.
    pub list: usize,
}

impl Default for Limits {
    /// Far beyond what anybody types for thousands of images: a second or two, and some 100 MB.
    fn default() -> Self {
        Self {
            depth: 200,
            steps: 10_000_000,
            output_bytes: 64 << 20,
            text_bytes: 16 << 20,
            list: 1 << 20,
        }
    }
}
