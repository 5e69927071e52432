//! Signatures, against the programs that made them: which count, and which must not.

use sapwood_repo::sign::gpg::{Added, Keyring, Verdict};
use sapwood_repo::sign::{Ed25519, Spki, Verifier as _, signer, verifier};
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
    assert_eq!(both.add(&after).unwrap(), Added { keys: 0, revoked: 1 });
    assert_eq!(both.add(&before).unwrap(), Added::default());
    assert_eq!(verdict(&both, &lasting), Verdict::KeyRevoked);
    assert!(both.list()[0].revoked && both.list()[0].users[0].revoked);
    // By the certificate alone, too, before the key or after it; only the key that it is of; and what is written has it.
    let certificate = gpg.certificate(&key).unwrap().into_bytes();
    let stranger = gpg.make("Other <other@example.org>", "ed25519", "never", &[]).unwrap();
    let other = gpg.public(Some(&stranger)).unwrap();
    for order in [[&certificate, &other, &before], [&before, &other, &certificate]] {
        let mut ring = Keyring::default();
        for file in order {
            ring.add(file).unwrap();
        }
        assert_eq!(verdict(&ring, &lasting), Verdict::KeyRevoked);
        assert!(!ring.has_loose_revocations());
        let ring = keyring(&ring.to_bytes().unwrap());
        assert_eq!(ring.list().iter().map(|key| key.revoked).filter(|is| *is).count(), 1);
        assert_eq!(verdict(&ring, &lasting), Verdict::KeyRevoked);
    }
    let mut forged = keyring(&before);
    let of_another = gpg.certificate(&stranger).unwrap().into_bytes();
    assert_eq!(forged.add(&of_another).unwrap(), Added::default());
    assert!(forged.has_loose_revocations());
    assert_eq!(verdict(&forged, &lasting), Verdict::Good);
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

/// RFC 8032, section 7.1, tests 1 to 3: seed, public key, message and signature.
const VECTORS: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        concat!(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ],
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn ed25519_is_that_of_the_rfc() {
    for [seed, public, message, signature] in VECTORS {
        let (secret, made) = Ed25519::generate(&bytes(seed).try_into().unwrap());
        assert_eq!(made, Ed25519::public_text(&bytes(public).try_into().unwrap()));
        let (message, signature) = (bytes(message), bytes(signature));
        assert_eq!(signer("ed25519", &secret).unwrap().sign(&message).unwrap(), signature);
        let keys = [made];
        let ours = verifier("ed25519", &keys, &[]).unwrap();
        let is_good =
            |data: &[u8], signature: &[u8]| ours.judge(data, &[signature.to_vec()])[0].good_by.is_some();
        assert!(is_good(&message, &signature));
        assert!(!is_good(b"something else", &signature));
        for bit in (0..signature.len() * 8).step_by(11) {
            let mut damaged = signature.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_good(&message, &damaged), "bit {bit}");
        }
        let revoked = verifier("ed25519", &keys, &keys).unwrap();
        assert!(revoked.judge(&message, &[signature])[0].good_by.is_none());
    }
}
