//! What is in a record, and what becomes of it when it is written again.

use super::*;

const COMMIT: &str = "c4668c4c1db585f93eef5c9e3090b4c60c70ac6ee19ffdab2a17b22d17491d97";
const OVERLAY: &str = "521369b7a65725e65d2437317b566042ce0bd23038c30ad363dee6f4a5b8205f";

/// A record with these keys beside the one that every record has, in GVariant's text form.
fn record(keys: &str) -> Vec<u8> {
    let target = format!("{{'name': <'{COMMIT}.0'>, 'osname': <'os'>}}");
    let text = format!("{{'target': <{target}>{keys}}}");
    Value::parse(&text).unwrap().to_gvariant()
}

/// The text form of the record as it is written again.
fn again(record: &Record) -> String {
    Value::from_gvariant("a{sv}", &record.encode()).unwrap().to_text()
}

#[test]
fn arguments_that_are_not_in_a_record_are_those_of_the_other_deployment_and_stay_out_of_it() {
    let silent = Record::decode(&record("")).unwrap();
    assert_eq!(silent.blueprint.kargs, None);
    assert!(!again(&silent).contains("kargs"), "{}", again(&silent));
    let none = Record::decode(&record(", 'kargs': <@as []>")).unwrap();
    assert_eq!(none.blueprint.kargs, Some(Kargs::default()));
    assert!(again(&none).contains("'kargs': <@as []>"), "{}", again(&none));
    let some = Record::decode(&record(", 'kargs': <['root=/dev/x', 'quiet']>")).unwrap();
    assert_eq!(some.blueprint.kargs, Some(Kargs::parse("root=/dev/x quiet")));
}

#[test]
fn overlays_have_their_checksums_in_a_record_as_ostree_has_them() {
    let keys = format!(", 'overlay-initrds': <['{OVERLAY}']>");
    let decoded = Record::decode(&record(&keys)).unwrap();
    assert_eq!(decoded.blueprint.overlays, [format!("{OVERLAY}.img")]);
    assert!(again(&decoded).contains(&keys), "{}", again(&decoded));
    let older = Record::decode(&record(&format!(", 'overlay-initrds': <['{OVERLAY}.img']>"))).unwrap();
    assert_eq!(older, decoded);
    for malformed in [&OVERLAY[1..], "../../x", &format!("{OVERLAY}.img.img")] {
        let keys = format!(", 'overlay-initrds': <['{malformed}']>");
        assert!(matches!(Record::decode(&record(&keys)), Err(Error::Record { .. })), "{malformed}");
    }
}

#[test]
fn what_another_program_wrote_is_kept_and_its_keys_of_the_entry_are_known() {
    let extra = "'bootconfig-extra': <{'x-source': 'a b', 'options': 'bad', 'fdtdir': '/old', 'a b': 'c'}>";
    let later = "'later': <(uint32 1, ['x'])>";
    let mut decoded = Record::decode(&record(&format!(", {extra}, {later}"))).unwrap();
    assert_eq!(decoded.blueprint.extra, [("x-source".to_owned(), "a b".to_owned())]);
    decoded.finalization = Finalization::Held;
    decoded.begun = true;
    let text = again(&decoded);
    assert!(text.contains(extra) && text.contains(later), "{text}");
    assert_eq!(Record::decode(&decoded.encode()).unwrap(), decoded);
    for odd in ["'no list'", "{'x': uint32 1}"] {
        let decoded = Record::decode(&record(&format!(", 'bootconfig-extra': <{odd}>"))).unwrap();
        assert_eq!(decoded.blueprint.extra, []);
    }
}
