//! Beings and characters in files: exports, what is taken in, and cards.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::json;

use super::{HOUSE, create, recalled, remember};
use crate::support::House;

#[test]
fn a_being_is_written_out_taken_in_and_deleted() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    remember(&house, "marit", "The key is under the blue pot");
    let exported = house.json(&["being", "export", "marit", "marit.being", "--json"]);
    let file = house.path("marit.being");
    assert_eq!(exported["bytes"], file.metadata().unwrap().len());
    assert!(exported["node"].is_string(), "{exported}");
    let again = house.genii(&["being", "export", "marit", "marit.being"]);
    assert_eq!(again.code, 1, "it overwrote the file: {}", again.out);
    let taken = house.genii(&["being", "import", "marit.being"]);
    assert!(taken.code == 1 && taken.err.contains("--id"), "{}", taken.err);
    let copy = house.json(&["being", "import", "marit.being", "--id", "copy", "--json"]);
    assert_eq!(copy["id"], "copy");
    assert!(recalled(&house, "copy", "where is the key?").contains("blue pot"));
    assert_eq!(house.genii(&["being", "delete", "marit", "--yes"]).code, 0);
    let journal = house.genii(&["ctl", "journal", "-n", "1000"]).out;
    assert!(journal.contains("being/marit") && journal.contains("was deleted"), "{journal}");
    let gone = house.genii(&["being", "show", "marit"]);
    assert!(gone.code == 1 && gone.err.contains("no being is called marit"), "{}", gone.err);
    assert!(recalled(&house, "copy", "where is the key?").contains("blue pot"));
    running.stop();
    // What was done with them is told also after the end of genii.
    let running = house.up(HOUSE);
    for (being, texts) in
        [("being/marit", ["was made on", "was deleted"]), ("being/copy", ["was imported on", ""])]
    {
        let journal = house.genii(&["ctl", "journal", being]);
        for text in texts {
            assert!(journal.out.contains(text), "{being}: {}{}", journal.out, journal.err);
        }
    }
    running.stop();
}

#[test]
fn a_provider_comes_with_a_file_only_if_that_is_said() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let url = "http://127.0.0.1:9/v1";
    house.json(&["being", "provider", "marit", "--base-url", url, "--model", "wise-1", "--json"]);
    let written = house.genii(&["being", "export", "marit", "marit.being"]);
    assert!(written.out.contains("marit.being on "), "{}", written.out);
    let twin = house.json(&["being", "import", "marit.being", "--id", "twin", "--json"]);
    let expected =
        json!({ "kind": "openai", "model": "wise-1", "base_url": url, "is_kept": false });
    assert_eq!(twin["provider"], expected);
    let other = house.genii(&["being", "import", "marit.being", "--id", "other"]);
    assert!(other.out.contains("note: `genii being provider other "), "{}", other.out);
    let friend = ["being", "import", "marit.being", "--id", "friend", "--with-provider", "--json"];
    assert_eq!(house.json(&friend)["provider"]["is_kept"], true);
    for (id, by) in [("twin", "offline"), ("other", "offline"), ("friend", "wise-1")] {
        let finds = house.json(&["being", "provider", id, "--json"]);
        assert!(finds["provider"].as_str().unwrap().contains(by), "{id}: {finds}");
    }
    running.stop();
}

#[test]
fn what_can_be_no_export_is_refused_at_once_and_leaves_nothing() {
    let house = House::new();
    let running = house.up(HOUSE);
    mkfifoat(CWD, house.path("tap"), Mode::RUSR | Mode::WUSR).unwrap();
    fs::create_dir(house.path("den")).unwrap();
    house.file("letter", "Dear Ann,");
    for (file, says) in
        [("/dev/zero", "device"), ("tap", "pipe"), ("den", "folder"), ("letter", "not a store")]
    {
        let refused = house.genii(&["being", "import", file, "--id", "marit"]);
        assert!(refused.code == 1 && refused.err.contains(says), "{file}: {}", refused.err);
    }
    for folder in [".going", ".coming"] {
        let left = fs::read_dir(house.path("data/beings").join(folder));
        assert_eq!(left.map_or(0, Iterator::count), 0, "{folder}");
    }
    running.stop();
}

#[test]
fn a_card_comes_back_to_the_letter() {
    let house = House::new();
    let _running = house.up(HOUSE);
    let characters = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/characters");
    let example = |name: &str| characters.join(name).to_str().unwrap().to_owned();
    let (json, png) = (example("tobin.json"), example("vesper.png"));
    let own = house.json(&["being", "create", &example("marit.toml"), "--id", "marit", "--json"]);
    assert_eq!(own["name"], "Marit Holm");
    house.json(&["being", "create", &json, "--id", "tobin", "--json"]);
    house.json(&["being", "create", &png, "--id", "vesper", "--json"]);
    let out = |name: &str| house.path(name).to_str().unwrap().to_owned();
    let (to_json, to_png) = (out("tobin-again.json"), out("vesper-again.png"));
    house.json(&["being", "card", "tobin", &to_json, "--json"]);
    assert_eq!(fs::read(&to_json).unwrap(), fs::read(&json).unwrap());
    house.json(&["being", "card", "vesper", &to_png, "--image", &png, "--json"]);
    assert_eq!(fs::read(&to_png).unwrap(), fs::read(&png).unwrap());
    let again = house.genii(&["being", "card", "tobin", &to_json]);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let bare = house.genii(&["being", "card", "vesper", &out("bare.png")]);
    assert!(bare.err.contains("--image"), "{}", bare.err);
    let no_image = house.genii(&["being", "card", "vesper", &out("x.png"), "--image", &json]);
    assert_ne!(no_image.code, 0, "{}", no_image.out);
}
