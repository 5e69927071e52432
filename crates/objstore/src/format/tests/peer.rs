//! Objects made by the real `ostree`, where it is installed.
use crate::{
    Commit, Digest, DirMeta, DirTree, FileType, Format, MetaObject, Metadata, ObjectId, ObjectKind, Value,
};
use sapwood_testkit::{Ostree, skipped};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// As `--add-metadata` takes them.
const VALUES: [(&str, &str); 30] = [
    ("s", "'text'"),
    ("quoted", "\"it's \\n \\u200b é\""),
    ("b", "true"),
    ("y", "byte 255"),
    ("n", "int16 -2"),
    ("q", "uint16 65535"),
    ("i", "-7"),
    ("u", "uint32 42"),
    ("x", "int64 -5"),
    ("t", "uint64 18446744073709551615"),
    ("d", "2.5"),
    ("h", "handle 3"),
    ("o", "objectpath '/a/b'"),
    ("g", "signature 'a{sv}'"),
    ("ay", "[byte 1, 2]"),
    ("bytes", "b'hi'"),
    ("escaped", "b'\\001\\377'"),
    ("no-bytes", "@ay []"),
    ("as", "['a', 'b', '']"),
    ("no-as", "@as []"),
    ("aay", "[b'x', [byte 0x00]]"),
    ("ai", "[1, 2, 3]"),
    ("au", "[uint32 1, 2]"),
    ("aas", "[['a'], @as []]"),
    ("ms", "@ms 'x'"),
    ("nothing", "@mmi just nothing"),
    ("tuple", "('a', <1>, [1, 2], {'k': 5.0}, ())"),
    ("dict", "{'k': <'v'>, 'l': <uint64 1>}"),
    ("no-dict", "@a{sv} {}"),
    ("v", "<<byte 1>>"),
];

fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_meta<K: MetaObject>(bytes: &[u8], id: ObjectId) -> Result<K, Box<dyn std::error::Error>> {
    assert_eq!(Format::Ostree.id_of(K::KIND, bytes), id);
    let object = K::decode(Format::Ostree, bytes)?;
    assert_eq!(object.encode(Format::Ostree), bytes);
    Ok(object)
}

fn check_archived(bytes: &[u8], id: ObjectId) -> TestResult {
    let mut rest = bytes;
    let archive = Format::Ostree.read_archive_header(&mut rest)??;
    assert_eq!(
        Format::Ostree.encode_archive_header(&archive.header, archive.size),
        &bytes[..archive.encoded_len]
    );
    let mut content = Vec::new();
    if archive.header.is_regular() {
        Format::Ostree.decompressor(Box::new(rest))?.read_to_end(&mut content)?;
    } else {
        assert!(rest.is_empty());
    }
    assert_eq!(content.len() as u64, archive.size);
    let mut digest = Digest::new(Format::Ostree, ObjectKind::File);
    digest.update(&Format::Ostree.file_prefix(&archive.header));
    digest.update(&content);
    assert_eq!(digest.finish(), id);
    Ok(())
}

/// Decodes everything below `objects`; returns how many objects of each extension there are.
fn check_all(repo: &Path) -> Result<std::collections::BTreeMap<String, usize>, Box<dyn std::error::Error>> {
    let mut counts = std::collections::BTreeMap::new();
    for shard in fs::read_dir(repo.join("objects"))? {
        let shard = shard?;
        for entry in fs::read_dir(shard.path())? {
            let entry = entry?;
            let name = format!("{}{}", shard.file_name().display(), entry.file_name().display());
            let (hex, extension) = name.split_once('.').ok_or("an object without an extension")?;
            let (id, bytes) = (ObjectId::from_hex(hex)?, bytes_of(&entry.path())?);
            match extension {
                "commit" => drop(check_meta::<Commit>(&bytes, id)?),
                "dirtree" => drop(check_meta::<DirTree>(&bytes, id)?),
                "dirmeta" => drop(check_meta::<DirMeta>(&bytes, id)?),
                "filez" => check_archived(&bytes, id)?,
                "commitmeta" => {
                    let metadata = Format::Ostree.decode_metadata(&bytes)?;
                    assert_eq!(Format::Ostree.encode_metadata(&metadata), bytes);
                }
                other => return Err(format!("an object of kind {other}").into()),
            }
            *counts.entry(extension.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

#[test]
fn all_that_ostree_commits_is_decoded_and_encodes_to_the_same_bytes() -> TestResult {
    let Some(ostree) = Ostree::find() else {
        skipped("the real ostree is not installed");
        return Ok(());
    };
    let temporary = tempfile::tempdir()?;
    let (repo, tree) = (temporary.path().join("repo"), temporary.path().join("tree"));
    fs::create_dir(&tree)?;
    fs::create_dir(tree.join("empty"))?;
    fs::create_dir(tree.join("ünïcode"))?;
    let write = |name: &str, content: &[u8]| File::create(tree.join(name))?.write_all(content);
    write("hello", b"hello\n")?;
    write("nothing", b"")?;
    write("large", &(0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>())?;
    write("ünïcode/a name with spaces", b"x")?;
    for number in 0..3000 {
        write(
            &format!("ünïcode/{}{number}", "n".repeat(number % 200)),
            format!("{}", number % 7).as_bytes(),
        )?;
    }
    symlink("hello", tree.join("link"))?;
    symlink("/nowhere/../at/all", tree.join("dangling"))?;
    fs::set_permissions(tree.join("hello"), fs::Permissions::from_mode(0o4751))?;
    fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o1777))?;

    let repo_option = format!("--repo={}", repo.display());
    ostree.run([&repo_option, "init", "--mode=archive"])?;
    let mut arguments =
        vec![repo_option.clone(), "commit".into(), "--branch=main".into(), "--subject=s".into()];
    arguments.push("--body=line\nline é".into());
    arguments.push(format!("--tree=dir={}", tree.display()));
    arguments.push("--add-detached-metadata-string=by=hand".into());
    arguments.extend(VALUES.map(|(key, text)| format!("--add-metadata={key}={text}")));
    let id = ObjectId::from_hex(ostree.run(&arguments)?.trim())?;

    let counts = check_all(&repo)?;
    assert_eq!((counts["commit"], counts["dirtree"], counts["commitmeta"]), (1, 3, 1));
    assert!(counts["filez"] >= 7 + 5, "{counts:?}");

    let hex = id.to_hex();
    let commit: Commit =
        check_meta(&bytes_of(&repo.join(format!("objects/{}/{}.commit", &hex[..2], &hex[2..])))?, id)?;
    let decoded: &Metadata = &commit.metadata;
    for (key, text) in VALUES {
        let value = decoded.get(key).ok_or(key)?;
        assert_eq!(&Value::parse(text)?, value, "{key}");
        let option = format!("--print-metadata-key={key}");
        let printed = ostree.run([&repo_option, "show", &option, "main"])?;
        assert_eq!(value.to_text_swapped(), printed.trim_end_matches('\n'), "{key}");
        assert_eq!(Value::parse(&value.to_text())?, *value, "{key}");
    }
    assert_eq!(decoded.get_str("s"), Some("text"));
    Ok(())
}

#[test]
fn the_attribute_of_bare_user_files_is_decoded_as_ostree_wrote_it() -> TestResult {
    let Some(ostree) = Ostree::find() else {
        skipped("the real ostree is not installed");
        return Ok(());
    };
    let temporary = tempfile::tempdir()?;
    let (repo, tree) = (temporary.path().join("repo"), temporary.path().join("tree"));
    fs::create_dir(&tree)?;
    File::create(tree.join("file"))?.write_all(b"content")?;
    fs::set_permissions(tree.join("file"), fs::Permissions::from_mode(0o2640))?;
    symlink("file", tree.join("link"))?;
    let repo_option = format!("--repo={}", repo.display());
    ostree.run([&repo_option, "init", "--mode=bare-user"])?;
    let tree_option = format!("--tree=dir={}", tree.display());
    let owner = ["--owner-uid=7", "--owner-gid=8"];
    ostree.run([&repo_option, "commit", "--branch=main", &tree_option, owner[0], owner[1]])?;
    let mut seen = 0;
    for shard in fs::read_dir(repo.join("objects"))? {
        for entry in fs::read_dir(shard?.path())? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "file") {
                continue;
            }
            let mut value = [0; 4096];
            let length = rustix::fs::getxattr(&path, Format::Ostree.user_meta_attribute(), &mut value[..])?;
            let header = Format::Ostree.decode_user_meta(&value[..length])?;
            assert_eq!(Format::Ostree.encode_user_meta(&header), &value[..length]);
            assert_eq!((header.uid, header.gid), (7, 8));
            let expected = match &header.file_type {
                FileType::Regular => 0o2640,
                _ => 0o777,
            };
            assert_eq!(header.mode, expected);
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
    Ok(())
}
