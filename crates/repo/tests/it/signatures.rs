//! Signatures, against the programs that made them: which count, and which must not.

use sapwood_repo::sign::gpg::{Keyring, Verdict};
use sapwood_repo::sign::{Spki, Verifier as _, signer, verifier};
use sapwood_testkit::{Gnupg, openssl, skipped};

const DATA: &[u8] = b"what is signed";
/// A day long ago, and one a good while after it.
const LONG_AGO: [&str; 2] = ["--faked-system-time", "20200101T000000!"];

fn keyring(bytes: &[u8]) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.add(bytes).unwrap();
    keyring
}

fn verdict(keyring: &Keyring, signature: &[u8]) -> Verdict {
    let reports = keyring.verify(DATA, signature);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].verdict
}

#[test]
fn signatures_of_gpg_count_by_keys_of_every_common_algorithm_and_of_no_other_data() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    for algorithm in ["ed25519", "rsa2048", "nistp256"] {
        let key = gpg.make(&format!("{algorithm} <k@example.org>"), algorithm, "never", &[]).unwrap();
        let keyring = keyring(&gpg.public(Some(&key)).unwrap());
        let signature = gpg.sign(&key, DATA, &[]).unwrap();
        assert_eq!(verdict(&keyring, &signature), Verdict::Good, "{algorithm}");
        let of_other_data = gpg.sign(&key, b"something else", &[]).unwrap();
        assert_eq!(verdict(&keyring, &of_other_data), Verdict::Bad, "{algorithm}");
        let weak = gpg.sign(&key, DATA, &["--digest-algo", "SHA1"]);
        // A key of P-256 may refuse such a digest by itself.
        if let Ok(weak) = weak {
            assert_ne!(verdict(&keyring, &weak), Verdict::Good, "{algorithm} with SHA-1");
        }
        let text = gpg.sign(&key, DATA, &["--textmode"]).unwrap();
        assert_ne!(verdict(&keyring, &text), Verdict::Good, "{algorithm}, of text rather than of bytes");
    }
}

#[test]
fn what_was_taken_back_or_has_expired_does_not_count() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let key = gpg.make("Old <old@example.org>", "ed25519", "1d", &LONG_AGO).unwrap();
    let signature = gpg.sign(&key, DATA, &LONG_AGO).unwrap();
    assert_eq!(verdict(&keyring(&gpg.public(Some(&key)).unwrap()), &signature), Verdict::KeyExpired);

    let key = gpg.make("Good <good@example.org>", "ed25519", "never", &LONG_AGO).unwrap();
    let brief: Vec<&str> = LONG_AGO.into_iter().chain(["--default-sig-expire", "1d"]).collect();
    let expired = gpg.sign(&key, DATA, &brief).unwrap();
    let lasting = gpg.sign(&key, DATA, &[]).unwrap();
    let before = gpg.public(Some(&key)).unwrap();
    assert_eq!(verdict(&keyring(&before), &expired), Verdict::Expired);
    assert_eq!(verdict(&keyring(&before), &lasting), Verdict::Good);
    gpg.revoke(&key).unwrap();
    let after = gpg.public(Some(&key)).unwrap();
    assert_eq!(verdict(&keyring(&after), &lasting), Verdict::KeyRevoked);
    // Who has the key learns of it by adding it again, and cannot unlearn it.
    let mut both = keyring(&before);
    assert_eq!(both.add(&after).unwrap(), 0);
    assert_eq!(both.add(&before).unwrap(), 0);
    assert_eq!(verdict(&both, &lasting), Verdict::KeyRevoked);
    assert!(both.list()[0].revoked && both.list()[0].users[0].revoked);
}

#[test]
fn a_subkey_counts_until_it_is_taken_back() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let key = gpg.make("Owner <owner@example.org>", "ed25519", "never", &[]).unwrap();
    gpg.run(["--quick-add-key", &key, "ed25519", "sign", "never"], b"").unwrap();
    let before = keyring(&gpg.public(None).unwrap());
    let sub = before.list()[0].subkeys[0].fingerprint.clone();
    let signature = gpg.sign(&format!("{sub}!"), DATA, &[]).unwrap();
    let report = before.verify(DATA, &signature).remove(0);
    assert_eq!((report.verdict, report.primary.as_deref()), (Verdict::Good, Some(key.as_str())));
    let primary_alone = gpg
        .run(
            [
                "--export-options",
                "export-minimal",
                "--export-filter",
                "drop-subkey=usage=~s",
                "--export",
                &key,
            ],
            b"",
        )
        .unwrap();
    assert_eq!(verdict(&keyring(&primary_alone), &signature), Verdict::UnknownKey);
    gpg.run(["--command-fd", "0", "--expert", "--edit-key", &key], b"key 1\nrevkey\ny\n0\n\ny\nsave\n")
        .unwrap();
    assert_eq!(verdict(&keyring(&gpg.public(None).unwrap()), &signature), Verdict::KeyRevoked);
}

#[test]
fn keys_are_read_from_every_kind_of_file_that_gpg_keeps_them_in() {
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("gpg is not installed") };
    let key = gpg.make("Owner <owner@example.org>", "ed25519", "never", &[]).unwrap();
    gpg.run(["--quick-add-key", &key, "ed25519", "sign", "never"], b"").unwrap();
    let expected = keyring(&gpg.public(None).unwrap()).list();
    assert_eq!((expected.len(), expected[0].subkeys.len()), (1, 1));
    let armoured = gpg.run(["--armor", "--export"], b"").unwrap();
    // The older form, with packets in which gpg notes whom it trusts.
    let old = gpg.home().join("old.gpg");
    std::fs::write(&old, b"").unwrap();
    gpg.run(["--no-default-keyring", "--keyring", old.to_str().unwrap(), "--import"], &armoured).unwrap();
    for (what, bytes) in [
        ("armoured", armoured),
        ("a keybox", std::fs::read(gpg.home().join("pubring.kbx")).unwrap()),
        ("an older keyring", std::fs::read(old).unwrap()),
    ] {
        assert_eq!(keyring(&bytes).list(), expected, "{what}");
        for cut in [bytes.len() / 3, bytes.len() - 1] {
            // What is torn is refused or holds less; it is never more than what was there.
            let mut torn = Keyring::default();
            drop(torn.add(&bytes[..cut]));
            assert!(torn.list().len() <= expected.len());
        }
    }
}

/// How `openssl genpkey` is told to make a key of each kind, and whether signing takes the data unhashed.
const KINDS: [(&str, &[&str]); 4] = [
    ("Ed25519", &["-algorithm", "ed25519"]),
    ("P-256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("P-384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("RSA", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
];

#[test]
fn keys_of_openssl_sign_here_what_it_verifies_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (secret_file, public_file, data_file, signature_file) =
        (path("secret"), path("public"), path("data"), path("signature"));
    std::fs::write(&data_file, DATA).unwrap();
    let mut others = Vec::new();
    for (kind, arguments) in KINDS {
        let made = openssl(["genpkey"].iter().chain(arguments), b"").unwrap();
        let Some(secret) = made else { return skipped("openssl is not installed") };
        let public = openssl(["pkey", "-pubout"], &secret).unwrap().unwrap();
        std::fs::write(&secret_file, &secret).unwrap();
        std::fs::write(&public_file, &public).unwrap();
        let public = String::from_utf8(public).unwrap();
        let ours = verifier("spki", std::slice::from_ref(&public), &[]).unwrap();

        let theirs = ["pkeyutl", "-sign", "-rawin", "-inkey", &secret_file, "-in", &data_file];
        let signature = openssl(theirs, b"").unwrap().unwrap();
        assert!(ours.judge(DATA, std::slice::from_ref(&signature))[0].good_by.is_some(), "{kind}");
        assert!(
            ours.judge(b"something else", std::slice::from_ref(&signature))[0].good_by.is_none(),
            "{kind}"
        );
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut damaged = signature.clone();
            damaged[at] ^= 1;
            assert!(ours.judge(DATA, &[damaged])[0].good_by.is_none(), "{kind}, damaged at {at}");
        }
        let revoked = Spki::verifier(std::slice::from_ref(&public), std::slice::from_ref(&public)).unwrap();
        assert!(
            revoked.judge(DATA, std::slice::from_ref(&signature))[0].good_by.is_none(),
            "{kind}, revoked"
        );
        for other in &others {
            let other = verifier("spki", std::slice::from_ref(other), &[]).unwrap();
            assert!(other.judge(DATA, std::slice::from_ref(&signature))[0].good_by.is_none(), "{kind}");
        }
        others.push(public);

        let signature = signer("spki", &String::from_utf8(secret).unwrap()).unwrap().sign(DATA).unwrap();
        std::fs::write(&signature_file, signature).unwrap();
        let check = [
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            &public_file,
            "-in",
            &data_file,
            "-sigfile",
            &signature_file,
        ];
        let said = openssl(check, b"").unwrap().unwrap();
        assert!(String::from_utf8_lossy(&said).contains("Verified Successfully"), "{kind}: {said:?}");
    }
    let weak =
        openssl(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], b"").unwrap().unwrap();
    let weak = openssl(["pkey", "-pubout"], &weak).unwrap().unwrap();
    assert!(verifier("spki", &[String::from_utf8(weak).unwrap()], &[]).is_err(), "RSA of 1024 bits");
}
