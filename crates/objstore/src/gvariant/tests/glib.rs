//! Agreement with the real `GLib`, where its Python bindings are installed.
use super::super::{Type, Writer, check_normal_form, parse, print};
use super::random::Random;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const SCRIPT: &str = r"
import sys
from gi.repository import GLib
for line in sys.stdin:
    signature, data = line.rstrip('\n').split('|')
    value = GLib.Variant.new_from_bytes(GLib.VariantType.new(signature), GLib.Bytes.new(bytes.fromhex(data)), False)
    normal = value.is_normal_form()
    print('1' + value.print_(True).encode().hex() if normal else '0')
";

fn glib(input: &str) -> Option<Vec<String>> {
    let run = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let mut stdin = child.stdin.take()?;
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().ok()?;
        writer.join().ok()?.ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let output = run("/usr/bin/python3").or_else(|| run("python3"))?;
    Some(output.lines().map(str::to_owned).collect())
}

#[test]
fn verdicts_and_texts_are_those_of_glib() {
    let mut random = Random(0x5eed_0f5a_9d00_d001);
    let mut cases = Vec::new();
    for _ in 0..2500 {
        let signature = random.signature(4);
        let mut writer = Writer::new();
        random.write(&Type::parse(&signature).unwrap(), &mut writer);
        let bytes = writer.finish();
        check_normal_form(&signature, &bytes).unwrap();
        cases.push((signature.clone(), bytes.clone()));
        for _ in 0..3 {
            let mut changed = bytes.clone();
            random.mutate(&mut changed);
            cases.push((signature.clone(), changed));
        }
    }
    let mut input = String::new();
    for (signature, bytes) in &cases {
        input.push_str(signature);
        input.push('|');
        for byte in bytes {
            write!(input, "{byte:02x}").unwrap();
        }
        input.push('\n');
    }
    let Some(verdicts) = glib(&input) else {
        return sapwood_testkit::skipped("the Python bindings of GLib (python3-gi) are not installed");
    };
    assert_eq!(verdicts.len(), cases.len());
    let mut normal = 0;
    for ((signature, bytes), verdict) in cases.iter().zip(verdicts) {
        let ours = print(signature, bytes);
        match verdict.strip_prefix('1') {
            None => assert!(ours.is_err(), "GLib refuses, we take: {signature} {bytes:02x?}"),
            Some(theirs) => {
                let theirs = String::from_utf8(crate::format::tests::hex(theirs)).unwrap();
                let ours = ours
                    .unwrap_or_else(|error| panic!("GLib takes {theirs}; {signature} {bytes:02x?}: {error}"));
                assert_eq!(ours, theirs, "{signature} {bytes:02x?}");
                normal += 1;
                // NaN has many forms, but one text.
                if !ours.contains("nan") {
                    let (_, parsed) = parse(&format!("@{signature} {ours}"))
                        .unwrap_or_else(|error| panic!("{ours}: {error}"));
                    if !bytes.is_empty() {
                        assert_eq!(&parsed, bytes, "{signature} {ours}");
                    }
                }
            }
        }
    }
    assert!(normal > 2500, "{normal} of {} in normal form", cases.len());
}
