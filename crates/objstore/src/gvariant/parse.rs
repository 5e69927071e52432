//! Values from text (to come).

/// Why text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {offset}: {what}")]
pub struct ParseTextError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Parses text.
pub fn parse(text: &str) -> Result<(String, Vec<u8>), ParseTextError> {
    let _ = text;
    Err(ParseTextError { offset: 0, what: "unsupported" })
}
