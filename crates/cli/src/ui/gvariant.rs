//! Values as they are typed for `--add-metadata`: GVariant's text form, as far as metadata has use for it.

use sapwood_objstore::Value;

/// Reads a value: text in quotes, `true`, `false`, a number with its type before it (without one it is an `int32`), a
/// list of texts.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let mut rest = text.trim();
    let value = value(&mut rest)?;
    rest.trim().is_empty().then_some(value)
}

fn value(rest: &mut &str) -> Option<Value> {
    if rest.starts_with(['\'', '"']) {
        return string(rest).map(Value::Str);
    }
    if let Some(inner) = rest.strip_prefix("@as").map(str::trim_start).unwrap_or(rest).strip_prefix('[') {
        *rest = inner.trim_start();
        return list(rest);
    }
    let word = take_word(rest)?;
    Some(match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "byte" => Value::U8(number(take_word(rest)?)?),
        "int32" => Value::I32(number(take_word(rest)?)?),
        "uint32" => Value::U32(number(take_word(rest)?)?),
        "int64" => Value::I64(number(take_word(rest)?)?),
        "uint64" => Value::U64(number(take_word(rest)?)?),
        word => Value::I32(number(word)?),
    })
}

fn take_word<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end)?;
    *rest = after;
    (!word.is_empty()).then_some(word)
}

fn number<N: TryFrom<i128>>(text: &str) -> Option<N> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
        None => i128::from(digits.parse::<u64>().ok()?),
    };
    N::try_from(sign * magnitude).ok()
}

fn list(rest: &mut &str) -> Option<Value> {
    let mut texts = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            return Some(Value::Strs(texts));
        }
        texts.push(string(rest)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after.trim_start(),
            None if rest.starts_with(']') => {}
            None => return None,
        }
    }
}

fn string(rest: &mut &str) -> Option<String> {
    let mut letters = rest.chars();
    let quote = letters.next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut text = String::new();
    loop {
        match letters.next()? {
            c if c == quote => break,
            '\\' => text.push(match letters.next()? {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            c => text.push(c),
        }
    }
    *rest = letters.as_str();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_glib_reads_them() {
        for (text, value) in [
            ("'it'", Value::Str("it".to_owned())),
            (r#""a\"b""#, Value::Str("a\"b".to_owned())),
            ("uint32 5", Value::U32(5)),
            ("uint64 0xff", Value::U64(255)),
            ("-7", Value::I32(-7)),
            ("true", Value::Bool(true)),
            ("['a', 'b']", Value::Strs(vec!["a".to_owned(), "b".to_owned()])),
            ("@as []", Value::Strs(Vec::new())),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "'open", "uint32", "uint32 -1", "['a' 'b']", "5 6", "99999999999", "nonsense"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
