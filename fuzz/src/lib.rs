//! What the fuzz targets share: each function feeds one decoder, and checks what must hold of anything it takes.

use sapwood_objstore::{Format, MetaObject, Value, gvariant};
use std::io::Read;

/// More content than this is not decompressed: a few bytes may stand for any number.
const CONTENT_LIMIT: u64 = 1 << 20;

/// A commit, dirtree or dirmeta: what is taken encodes to the same bytes.
pub fn meta<K: MetaObject>(format: Format, data: &[u8]) {
    match K::decode(format, data) {
        Ok(object) => assert_eq!(object.encode(format), data),
        Err(error) => assert!(error.offset <= data.len() + 8, "{error}, of {} bytes", data.len()),
    }
}

/// An archive file.
pub fn archive(format: Format, data: &[u8]) {
    let mut rest = data;
    let Ok(Ok(archive)) = format.read_archive_header(&mut rest) else { return };
    assert_eq!(archive.encoded_len + rest.len(), data.len());
    assert_eq!(format.check_file(&archive.header), Ok(()));
    let encoded = format.encode_archive_header(&archive.header, archive.size);
    assert_eq!(encoded.len(), archive.encoded_len);
    let again = format.read_archive_header(&mut &encoded[..]).expect("memory").expect("what was encoded");
    assert_eq!(again, archive);
    assert!(!format.file_prefix(&archive.header).is_empty());
    decompress(format, rest);
}

/// The attribute of a bare-user file.
pub fn user_meta(format: Format, data: &[u8]) {
    let Ok(header) = format.decode_user_meta(data) else { return };
    let encoded = format.encode_user_meta(&header);
    assert_eq!(encoded.len(), data.len());
    assert_eq!(format.decode_user_meta(&encoded), Ok(header));
}

/// Detached metadata: what is taken encodes to the same bytes, and goes to text and GVariant and back.
pub fn metadata(format: Format, data: &[u8]) {
    let Ok(metadata) = format.decode_metadata(data) else { return };
    assert_eq!(format.encode_metadata(&metadata), data);
    for (_, value) in metadata.iter() {
        assert!(!value.to_text().is_empty());
        assert!(!value.to_text_swapped().is_empty());
        assert_eq!(Value::from_gvariant(value.signature(), &value.to_gvariant()).as_ref(), Ok(value));
    }
}

/// Compressed content.
pub fn decompress(format: Format, data: &[u8]) {
    if let Ok(reader) = format.decompressor(Box::new(data)) {
        drop(std::io::copy(&mut reader.take(CONTENT_LIMIT), &mut std::io::sink()));
    }
}

/// A type string, a NUL, and a value.
pub fn gvariant(data: &[u8]) {
    let Some(nul) = data.iter().position(|byte| *byte == 0) else { return };
    let (signature, bytes) = (&data[..nul], &data[nul + 1..]);
    let Ok(signature) = std::str::from_utf8(signature) else { return };
    let normal = gvariant::check_normal_form(signature, bytes).is_ok();
    let printed = gvariant::print(signature, bytes);
    assert_eq!(printed.is_ok(), normal);
    assert_eq!(Value::from_gvariant(signature, bytes).is_ok(), normal);
    let Ok(printed) = printed else { return };
    // NaN has many forms and one text; zero bytes may stand for a tuple that is written with its offsets.
    if printed.contains("nan") || printed.len() > 1 << 16 {
        return;
    }
    let (parsed, again) = gvariant::parse(&format!("@{signature} {printed}")).expect("what was printed");
    assert_eq!(parsed, signature);
    assert_eq!(gvariant::print(signature, &again).as_ref(), Ok(&printed));
}

/// GVariant's text form.
pub fn gvariant_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok((signature, bytes)) = gvariant::parse(text) else { return };
    gvariant::check_normal_form(&signature, &bytes).expect("normal form");
    let printed = gvariant::print(&signature, &bytes).expect("a value");
    let (_, again) = gvariant::parse(&format!("@{signature} {printed}")).expect("what was printed");
    if !printed.contains("nan") {
        assert_eq!(again, bytes);
    }
}
