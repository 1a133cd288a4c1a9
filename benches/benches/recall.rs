//! How well a being finds what was said: long conversations, questions about them, and the turns that
//! answer these. Each turn is remembered as one memory, in order; the score of a question is the share
//! of its turns among the best k; the figure is the mean over all questions. Plain BM25 beside it.
//!
//! It reads files of the LoCoMo data set (snap-research/locomo on GitHub), reduced to
//! `{"turns": [{"session", "when", "speaker", "text", "shares"?, "id"}], "questions": [{"question",
//! "evidence": [id], "category"}]}`, from the folder that is its argument or in `LOCOMO`.
//!
//! With `--memories` it goes through a being's memories as they are kept on a disk, too: held in memory,
//! and from the index. With `--model FOLDER` it is measured with a sentence-embedding model, too.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use genii_protocols::Timestamp;
use genii_storage::embed::Embedder;
use genii_storage::embed::hashed::Hashed;
use genii_storage::embed::onnx::{OnnxEmbedder, OnnxOptions};
use genii_storage::index::{IndexShare, IndexShareSettings, threads};
use genii_storage::memories::{
    Memories, MemoriesSettings, MemoryKind, NewMemory, Recall, RecallFilter,
};
use genii_storage::ranking::tail::Tail;
use genii_storage::ranking::{Question, Weights, rank};
use genii_storage::store::{Schema, Store, StoreOptions};
use genii_storage::text::dates::{Days, named};
use genii_storage::text::{Analysis, terms};
use genii_storage::vector::{Aim, Vector};
use serde::Deserialize;

/// How many memories each way of searching brings.
const CANDIDATES: usize = 100;

/// At which ranks it is measured.
const DEPTHS: [usize; 3] = [5, 10, 20];

const CATEGORIES: [(u8, &str); 4] = [(1, "several"), (2, "time"), (3, "infer"), (4, "one fact")];

#[derive(Deserialize)]
struct Conversation {
    turns: Vec<Turn>,
    questions: Vec<Asked>,
}

#[derive(Deserialize)]
struct Turn {
    id: String,
    when: String,
    speaker: String,
    text: String,
    shares: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    question: String,
    evidence: Vec<String>,
    category: u8,
}

/// What the folder of a model follows.
const MODEL: &str = "--model";

/// In which form turns are remembered.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// The text, and its speaker and time apart.
    Fields,
    /// All in one text, remembered now: `Ann: hello [shares a photo] 1:56 pm on 8 May, 2023`.
    Line,
    /// Nothing but the text, remembered now.
    TextOnly,
}

fn main() {
    threads::have_enough().unwrap();
    let Some(conversations) = read() else {
        println!(
            "no conversations to measure: give the folder with LoCoMo conversations as argument or in \
             LOCOMO; how to make them from https://github.com/snap-research/locomo stands at the top \
             of benches/benches/recall.rs"
        );
        return;
    };
    let questions: usize = conversations.iter().map(|(_, talk)| talk.questions.len()).sum();
    println!("\n{} conversations, {questions} questions", conversations.len());
    print_head("");
    Scores::of(&conversations, plain_bm25).print("plain BM25, all in one text");
    let (weights, hashed) = (Weights::default(), Hashed::new());
    for (form, name) in [
        (Form::Fields, "speaker and time as fields"),
        (Form::Line, "all in one text"),
        (Form::TextOnly, "the text and nothing else"),
    ] {
        Scores::of(&conversations, |talk| ours(talk, form, &weights, &hashed)).print(name);
    }
    if let Some(model) = model() {
        let weights = Weights::of_meaning();
        let with = |talk: &_| ours(talk, Form::Fields, &weights, &model);
        Scores::of(&conversations, with).print("fields, with the model");
    }
    if std::env::args().any(|argument| argument == "--memories") {
        for (tail_max, name) in [(usize::MAX, "kept, none indexed"), (32, "kept, most indexed")] {
            let settings = MemoriesSettings { tail_max, batch: 16, ..MemoriesSettings::default() };
            Scores::of(&conversations, |talk| kept(talk, &settings)).print(name);
        }
    }
    println!();
    print_costs(&conversations);
    print_head("each conversation, as fields");
    for conversation in &conversations {
        let one = std::slice::from_ref(conversation);
        Scores::of(one, |talk| ours(talk, Form::Fields, &weights, &hashed)).print(&conversation.0);
    }
    print_head("without a part, as fields");
    for (name, weights) in without() {
        Scores::of(&conversations, |talk| ours(talk, Form::Fields, &weights, &hashed)).print(name);
    }
    print_head("without a part, all in one text");
    for (name, weights) in without() {
        Scores::of(&conversations, |talk| ours(talk, Form::Line, &weights, &hashed)).print(name);
    }
}

/// What it costs to take a turn in, and to search many that no index holds yet.
fn print_costs(conversations: &[(String, Conversation)]) {
    let turns: Vec<&Turn> = conversations.iter().flat_map(|(_, talk)| &talk.turns).collect();
    let lines: Vec<String> = turns.iter().map(|turn| turn.line()).collect();
    let now = Timestamp::now();
    let analyses = timed("analysing a turn", &lines, |line| Analysis::new(line, None, now));
    let embedder = Hashed::new();
    let vectors =
        timed("embedding a turn", &lines, |line| embedder.embed(&[line]).unwrap().remove(0));
    let mut tail = Tail::new();
    for (id, (analysis, vector)) in (0..1_000).zip(analyses.into_iter().zip(vectors)) {
        tail.insert(id, now, analysis, Vector::new(&vector));
    }
    let asked: Vec<_> = conversations.iter().flat_map(|(_, talk)| &talk.questions).collect();
    timed("candidates among 1,000 that are not indexed", &asked, |asked| {
        let question = Question::new(&asked.question, now);
        let vector = embedder.embed(&[&asked.question]).unwrap().remove(0);
        tail.best(&question, CANDIDATES, |_| 1.0).candidates(&question, &Aim::new(&vector)).len()
    });
}

/// Does something with each, and prints the median of the times.
fn timed<T, R>(what: &str, all: &[T], mut act: impl FnMut(&T) -> R) -> Vec<R> {
    let mut times = Vec::new();
    let mut one = |thing: &T| {
        let began = Instant::now();
        let result = act(thing);
        times.push(began.elapsed());
        result
    };
    let results = all.iter().map(&mut one).collect();
    let median = genii_benches::median(times).as_nanos() as f64 / 1e3;
    println!("  {what:45} {median:>7.1} us, the median of {}", all.len());
    results
}

/// The weights with one of them set to nothing.
fn without() -> Vec<(&'static str, Weights)> {
    let all = Weights::default;
    vec![
        ("all parts", all()),
        ("neighbours", Weights { after: [0.0; 2], before: [0.0; 2], ..all() }),
        ("neighbours but the next", next_only()),
        ("the speaker", Weights { speaker: 0.0, speaker_alone: 0.0, ..all() }),
        ("days asked about", Weights { date: 0.0, ..all() }),
        ("telling a time", Weights { tells_time: 0.0, ..all() }),
        ("length", Weights { length: 0.0, ..all() }),
        ("asking", Weights { asks: 0.0, ..all() }),
        ("vectors", Weights { similarity: 0.0, ..all() }),
        ("near spellings", Weights { near_spelling: 0.0, ..all() }),
    ]
}

fn next_only() -> Weights {
    let Weights { after: [after, _], before: [before, _], .. } = Weights::default();
    Weights { after: [after, 0.0], before: [before, 0.0], ..Weights::default() }
}

/// The ids found for each question, best first, and how long each took.
type Found = Vec<(Vec<u64>, Duration)>;

/// What genii finds, its memories held in memory.
fn ours(talk: &Conversation, form: Form, weights: &Weights, embedder: &dyn Embedder) -> Found {
    let mut tail = Tail::new();
    let now = Timestamp::now();
    for (id, turn) in talk.turns.iter().enumerate() {
        let (text, at) = match form {
            Form::Fields => (turn.text(), turn.at()),
            Form::Line => (turn.line(), now),
            Form::TextOnly => (turn.text(), now),
        };
        let speaker = (form == Form::Fields).then_some(turn.speaker.as_str());
        let vector = embedder.embed(&[&text]).unwrap().remove(0);
        tail.insert(id as u64, at, Analysis::new(&text, speaker, at), Vector::new(&vector));
    }
    let deepest = DEPTHS[DEPTHS.len() - 1];
    let recall = |asked: &Asked| {
        let began = Instant::now();
        let question = Question::new(&asked.question, now);
        let vector = embedder.embed(&[&asked.question]).unwrap().remove(0);
        let best = tail.best(&question, CANDIDATES, |_| 1.0);
        let candidates = best.candidates(&question, &Aim::new(&vector));
        let found = rank(&question, &candidates, &tail.statistics(&question), weights, deepest);
        (found.into_iter().map(|found| found.id).collect(), began.elapsed())
    };
    talk.questions.iter().map(recall).collect()
}

/// What genii finds, its memories kept on a disk, as fields.
fn kept(talk: &Conversation, settings: &MemoriesSettings) -> Found {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let memories = memories_in(dir.path(), settings).await;
        let new = (0..).zip(&talk.turns).map(|(at, turn)| NewMemory {
            kind: MemoryKind::Turn,
            text: turn.text(),
            speaker: Some(turn.speaker.clone()),
            at: turn.at(),
            turn: Some(at),
            subject: None,
        });
        memories.remember(new.collect()).await.unwrap();
        while memories.tend().await.unwrap() {}
        let mut all = Vec::new();
        for asked in &talk.questions {
            let recall = Recall {
                question: asked.question.clone(),
                at: Timestamp::now(),
                asked_by: None,
                limit: DEPTHS[DEPTHS.len() - 1],
                filter: RecallFilter::default(),
            };
            let began = Instant::now();
            let found = memories.recall(recall).await.unwrap();
            let took = began.elapsed();
            // Ids begin with 1, and turns with 0.
            all.push((found.iter().map(|found| found.memory.id - 1).collect(), took));
        }
        all
    })
}

async fn memories_in(folder: &Path, settings: &MemoriesSettings) -> Memories {
    const SCHEMA: Schema = Schema::new("recall-bench", 1, &[]);
    let path = folder.join("being.redb");
    let store = Store::open(path, &SCHEMA, &StoreOptions::default()).unwrap();
    let share = IndexShare::new(&IndexShareSettings::default());
    let (embedder, weights) = (Arc::new(Hashed::new()), Weights::default());
    let vectors = folder.join("vectors");
    let opened = Memories::open(store, vectors, embedder, weights, share, settings.clone());
    opened.await.unwrap()
}

/// BM25 over whole lines with the same analysis of words, k1 = 1.2 and b = 0.75.
fn plain_bm25(talk: &Conversation) -> Found {
    let lines: Vec<Vec<String>> = talk.turns.iter().map(|turn| terms(&turn.line())).collect();
    let mean = lines.iter().map(Vec::len).sum::<usize>() as f64 / lines.len() as f64;
    let mut having: HashMap<&str, HashMap<usize, f64>> = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        for term in line {
            *having.entry(term).or_default().entry(at).or_default() += 1.0;
        }
    }
    let recall = |asked: &Asked| {
        let began = Instant::now();
        let mut scores = vec![0.0; lines.len()];
        for with in terms(&asked.question).iter().filter_map(|term| having.get(term.as_str())) {
            let (all, some) = (lines.len() as f64, with.len() as f64);
            let rarity = (1.0 + (all - some + 0.5) / (some + 0.5)).ln();
            for (at, count) in with {
                let limit = 1.2 * (0.25 + 0.75 * lines[*at].len() as f64 / mean);
                scores[*at] += rarity * count * 2.2 / (count + limit);
            }
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
        (order.into_iter().map(|at| at as u64).collect(), began.elapsed())
    };
    talk.questions.iter().map(recall).collect()
}

/// How well questions were answered.
struct Scores {
    /// The category of each question, and its scores at each depth.
    questions: Vec<(u8, [f64; DEPTHS.len()])>,
    times: Vec<Duration>,
}

impl Scores {
    fn of(conversations: &[(String, Conversation)], find: impl Fn(&Conversation) -> Found) -> Self {
        let mut scores = Self { questions: Vec::new(), times: Vec::new() };
        for (_, talk) in conversations {
            let ids: HashMap<&str, u64> =
                (0..).zip(&talk.turns).map(|(at, turn)| (turn.id.as_str(), at)).collect();
            for (asked, (found, took)) in talk.questions.iter().zip(find(talk)) {
                let wanted: Vec<u64> = asked.evidence.iter().map(|id| ids[id.as_str()]).collect();
                let share = |depth: usize| {
                    let best = &found[..depth.min(found.len())];
                    let hits = wanted.iter().filter(|id| best.contains(id)).count();
                    hits as f64 / wanted.len() as f64
                };
                scores.questions.push((asked.category, DEPTHS.map(share)));
                scores.times.push(took);
            }
        }
        scores
    }

    fn mean(&self, depth: usize, category: Option<u8>) -> f64 {
        let of_it =
            self.questions.iter().filter(|(of, _)| category.is_none_or(|wanted| wanted == *of));
        let scores: Vec<f64> = of_it.map(|(_, scores)| scores[depth]).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    }

    fn print(mut self, name: &str) {
        print!("  {name:30}");
        for depth in 0..DEPTHS.len() {
            print!(" {:>8.3}", self.mean(depth, None));
        }
        print!("  |");
        for (category, _) in CATEGORIES {
            match self.mean(1, Some(category)) {
                // Some conversations have no question of some category.
                mean if mean.is_nan() => print!(" {:>9}", "-"),
                mean => print!(" {mean:>9.3}"),
            }
        }
        let p50 = genii_benches::quantile(&mut self.times, 0.5);
        let p99 = genii_benches::quantile(&mut self.times, 0.99);
        println!("  | {:>7.0} {:>7.0}", p50.as_nanos() as f64 / 1e3, p99.as_nanos() as f64 / 1e3);
    }
}

fn print_head(title: &str) {
    print!("\n  {title:30}");
    DEPTHS.iter().for_each(|depth| print!(" {:>8}", format!("@{depth}")));
    print!("  |");
    CATEGORIES.iter().for_each(|(_, name)| print!(" {name:>9}"));
    println!(" @10 | p50, p99 us");
}

impl Turn {
    fn text(&self) -> String {
        let shares = self.shares.as_ref().map(|what| format!(" [shares {what}]"));
        format!("{}{}", self.text, shares.unwrap_or_default())
    }

    fn line(&self) -> String {
        format!("{}: {} {}", self.speaker, self.text(), self.when)
    }

    /// `1:56 pm on 8 May, 2023`, to the hour.
    fn at(&self) -> Timestamp {
        let day = named(&self.when, None).into_iter().find_map(|date| date.days());
        let Days { first, .. } = day.expect("each turn has a date");
        let hour: u64 = self.when.split_once(':').unwrap().0.parse().unwrap();
        let hour = hour % 12 + if self.when.contains("pm") { 12 } else { 0 };
        let time: SystemTime =
            UNIX_EPOCH + Duration::from_secs(first.0 as u64 * 86_400 + hour * 3_600);
        time.into()
    }
}

/// The conversations with their names, or none if there are none.
fn read() -> Option<Vec<(String, Conversation)>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()?).ok()?.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read(file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let talk = serde_json::from_slice(&text);
        (name, talk.unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    };
    let conversations: Vec<_> = files.iter().map(read).collect();
    (!conversations.is_empty()).then_some(conversations)
}

fn folder() -> Option<PathBuf> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_own = |(at, argument): &(usize, &String)| {
        !argument.starts_with('-') && (*at == 0 || arguments[at - 1] != MODEL)
    };
    let given = arguments.iter().enumerate().find(is_own).map(|(_, given)| given.clone());
    let given = given.or_else(|| std::env::var("LOCOMO").ok()).map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/locomo");
    given.or(Some(beside)).filter(|folder| folder.is_dir())
}

/// The model in the folder that was given, if one was.
fn model() -> Option<OnnxEmbedder> {
    let folder = std::env::args().skip_while(|argument| argument != MODEL).nth(1)?;
    let options = OnnxOptions::default();
    Some(OnnxEmbedder::open(Path::new(&folder), &options).unwrap_or_else(|error| panic!("{error}")))
}
