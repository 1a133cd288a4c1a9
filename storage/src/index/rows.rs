//! Entries, and the rows of the table that they become.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::Float32Type;
use arrow_array::{
    ArrayRef, FixedSizeListArray, Int64Array, RecordBatch, StringArray, UInt8Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::error::{IndexError, Unfit};

pub(super) const ID: &str = "id";
pub(super) const AT: &str = "at";
pub(super) const KIND: &str = "kind";
pub(super) const SPEAKER: &str = "speaker";
pub(super) const TERMS: &str = "terms";
pub(super) const VECTOR: &str = "vector";

/// Which columns there are and how they are indexed. An index of another layout is made anew.
const LAYOUT: &str = "1";
const LAYOUT_KEY: &str = "genii.layout";
const MADE_BY_KEY: &str = "genii.made_by";

/// What an index is made of. One of another shape can't answer and is made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// How many numbers a vector has.
    pub dimensions: usize,
    /// The analyser, with everything that terms depend on.
    pub terms_by: String,
    /// The embedder, with everything that vectors depend on. An index that is asked for words only has none: of
    /// whatever embedder its vectors are, they are never compared with any.
    pub vectors_by: Option<String>,
}

/// What is known of one memory in an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The memory's id. Ids ascend with time.
    pub id: u64,
    /// When it was said, in microseconds since 1970.
    pub at: i64,
    /// What sort of memory it is.
    pub kind: u8,
    /// Who said it.
    pub speaker: Option<String>,
    /// Its words as the analyser made them, with one space between each two. They are found just as
    /// they are: nothing is lower-cased, stemmed or left out here.
    pub terms: String,
    /// Its vector. It need not be of length one; only its direction counts.
    pub vector: Vec<f32>,
}

impl Shape {
    /// Of an index that is asked for words only. Any whose terms are the same can be opened as that, and has its
    /// own number of dimensions then.
    pub fn of_words(terms_by: String) -> Self {
        Self { dimensions: 1, terms_by, vectors_by: None }
    }

    /// What an index of this shape says that it was made by.
    fn made_by(&self) -> String {
        match &self.vectors_by {
            Some(vectors_by) => format!("{} {vectors_by}", self.terms_by),
            None => self.terms_by.clone(),
        }
    }

    /// Whether one that was made by this has what is wanted.
    fn is_made_by(&self, made_by: &str) -> bool {
        let is_of_words = || {
            let rest = made_by.strip_prefix(&self.terms_by);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        made_by == self.made_by() || self.vectors_by.is_none() && is_of_words()
    }

    pub(super) fn schema(&self) -> SchemaRef {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let vector = DataType::FixedSizeList(item, self.width());
        let fields = vec![
            Field::new(ID, DataType::UInt64, false),
            Field::new(AT, DataType::Int64, false),
            Field::new(KIND, DataType::UInt8, false),
            Field::new(SPEAKER, DataType::Utf8, true),
            Field::new(TERMS, DataType::Utf8, false),
            Field::new(VECTOR, vector, false),
        ];
        let told = [(LAYOUT_KEY, LAYOUT.to_owned()), (MADE_BY_KEY, self.made_by())];
        let told = told.map(|(key, value)| (key.to_owned(), value));
        Arc::new(Schema::new_with_metadata(fields, HashMap::from(told)))
    }

    /// As the index with this schema has it; what is different about it, if that can't be used.
    pub(super) fn found_in(self, found: &Schema) -> Result<Self, String> {
        let told = |key| found.metadata().get(key).map_or("nothing", String::as_str);
        let dimensions = match found.field_with_name(VECTOR).map(Field::data_type) {
            Ok(DataType::FixedSizeList(_, width)) => *width,
            _ => 0,
        };
        if told(LAYOUT_KEY) != LAYOUT {
            Err(format!("it is of layout {}, and {LAYOUT} is wanted", told(LAYOUT_KEY)))
        } else if !self.is_made_by(told(MADE_BY_KEY)) {
            Err(format!("it was made by {}, and {} is wanted", told(MADE_BY_KEY), self.made_by()))
        } else if self.vectors_by.is_none() {
            Ok(Self { dimensions: usize::try_from(dimensions).unwrap_or_default(), ..self })
        } else if dimensions != self.width() {
            let wanted = self.dimensions;
            Err(format!("its vectors have {dimensions} dimensions, and {wanted} are wanted"))
        } else {
            Ok(self)
        }
    }

    /// A vector as it is stored and searched with: of length one, or all zeros.
    pub(super) fn unit(&self, vector: &[f32]) -> Result<Vec<f32>, Unfit> {
        if vector.len() != self.dimensions {
            return Err(Unfit::Dimensions { found: vector.len(), wanted: self.dimensions });
        }
        // In double precision, so that no finite vector is too long for it.
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        match length {
            _ if !length.is_finite() => Err(Unfit::NotFinite),
            0.0 => Ok(vector.to_vec()),
            _ => Ok(vector.iter().map(|x| (f64::from(*x) / length) as f32).collect()),
        }
    }

    fn width(&self) -> i32 {
        i32::try_from(self.dimensions).unwrap_or(i32::MAX)
    }
}

/// The entries whose ids lie above `through`, as rows. Entries up to it are in the index already.
pub(super) fn rows(
    shape: &Shape,
    through: Option<u64>,
    entries: &[Entry],
) -> Result<RecordBatch, IndexError> {
    if let Some(two) = entries.windows(2).find(|two| two[0].id >= two[1].id) {
        let why = Unfit::OutOfOrder { before: two[0].id };
        return Err(IndexError::Unfit { id: two[1].id, why });
    }
    let known = entries.partition_point(|entry| Some(entry.id) <= through);
    let fresh = &entries[known..];
    let vectors = fresh.iter().map(|entry| {
        let unit = shape.unit(&entry.vector);
        unit.map_err(|why| IndexError::Unfit { id: entry.id, why })
    });
    let vectors = vectors.collect::<Result<Vec<_>, _>>()?;
    Ok(batch(shape, fresh, vectors).expect("all columns are of the schema and of the same length"))
}

fn batch(
    shape: &Shape,
    entries: &[Entry],
    vectors: Vec<Vec<f32>>,
) -> Result<RecordBatch, ArrowError> {
    let vectors = vectors.into_iter().map(|vector| Some(vector.into_iter().map(Some)));
    let vectors =
        FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(vectors, shape.width());
    let speakers = entries.iter().map(|entry| entry.speaker.as_deref());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(entries.iter().map(|entry| entry.id))),
        Arc::new(Int64Array::from_iter_values(entries.iter().map(|entry| entry.at))),
        Arc::new(UInt8Array::from_iter_values(entries.iter().map(|entry| entry.kind))),
        Arc::new(StringArray::from_iter(speakers)),
        Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.terms))),
        Arc::new(vectors),
    ];
    RecordBatch::try_new(shape.schema(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let (terms_by, vectors_by) = ("test 1".to_owned(), Some("model 1".to_owned()));
        Shape { dimensions: 2, terms_by, vectors_by }
    }

    fn entry(id: u64, vector: &[f32]) -> Entry {
        let (terms, vector) = ("a b".to_owned(), vector.to_vec());
        Entry { id, at: 0, kind: 0, speaker: None, terms, vector }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_id() {
        let check = |entries: &[Entry], wanted: &str| {
            let said = rows(&shape(), None, entries).unwrap_err().to_string();
            assert_eq!(said, format!("memory 7 does not fit into the index: {wanted}"));
        };
        check(&[entry(7, &[1.0])], "its vector has 1 dimensions, and the index has 2");
        let no_number = "its vector holds something that is no finite number";
        check(&[entry(6, &[1.0, 0.0]), entry(7, &[f32::NAN, 0.0])], no_number);
        check(&[entry(7, &[f32::INFINITY, 0.0])], no_number);
        let twice = "it follows memory 7, and ids must ascend";
        check(&[entry(7, &[1.0, 0.0]), entry(7, &[1.0, 0.0])], twice);
    }

    #[test]
    fn what_is_in_already_is_passed_over() {
        let entries = [entry(1, &[1.0, 0.0]), entry(2, &[1.0, 0.0]), entry(3, &[1.0, 0.0])];
        assert_eq!(rows(&shape(), Some(2), &entries).unwrap().num_rows(), 1);
        assert_eq!(rows(&shape(), None, &entries).unwrap().num_rows(), 3);
        assert_eq!(rows(&shape(), Some(9), &entries).unwrap().num_rows(), 0);
    }

    #[test]
    fn vectors_are_stored_with_length_one() {
        assert_eq!(shape().unit(&[3.0, 4.0]).unwrap(), [0.6, 0.8]);
        assert_eq!(shape().unit(&[0.0, 0.0]).unwrap(), [0.0, 0.0]);
        let longest = shape().unit(&[f32::MAX, f32::MAX]).unwrap();
        assert!((longest[0] - 0.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn another_shape_is_told_by_what_differs() {
        let found = |other: Shape| shape().found_in(&other.schema());
        assert_eq!(found(shape()), Ok(shape()));
        let wider = Shape { dimensions: 3, ..shape() };
        assert!(found(wider).unwrap_err().contains("3 dimensions, and 2 are wanted"));
        let other = Shape { terms_by: "test 2".to_owned(), ..shape() };
        let wanted = "it was made by test 2 model 1, and test 1 model 1 is wanted";
        assert_eq!(found(other).unwrap_err(), wanted);
        let words = found(Shape::of_words("test 1".to_owned())).unwrap_err();
        assert_eq!(words, "it was made by test 1, and test 1 model 1 is wanted");
        let foreign = Schema::empty();
        assert!(shape().found_in(&foreign).unwrap_err().contains("layout nothing"));
    }

    #[test]
    fn for_words_only_whatever_has_the_same_terms_will_do() {
        let words = |terms_by: &str| Shape::of_words(terms_by.to_owned());
        let found = |made: Shape| words("test 1").found_in(&made.schema());
        let with_vectors = Shape { dimensions: 2, ..words("test 1") };
        assert_eq!(found(shape()), Ok(with_vectors), "it tells how wide its vectors are");
        assert_eq!(found(words("test 1")), Ok(words("test 1")));
        assert!(found(words("test 2")).is_err());
        assert!(found(words("test 10")).is_err(), "nor one whose name only begins alike");
    }
}
