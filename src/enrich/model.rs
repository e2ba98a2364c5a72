//! The linear models: their file, their scores, and what their confidence is worth.
//!
//! Law: a file is taken whole or refused; its numbers are bounded by its own header before anything is allocated.
//!
//! The file, version 1, little-endian; a string is a length byte and UTF-8; `f` is an f32:
//!
//! ```text
//! "loopdlin" · version u8 · hashed u32 · cues u16 · fingerprint of the table of cues u32
//! idf: scale f · hashed × u8                                  idf = byte × scale
//! tasks u8, then for each:
//!   path · classes u8 · classes × (label · bias f · worth f)  worth: a class's hits, relative to what the curve says
//!   scale f · hashed × classes × i8                           weight = byte × scale; feature by feature
//!   cues × classes × f
//!   knots u8 · knots × (probability f · share right f)        the curve from probability to confidence, rising
//! sum u32: FNV-1a of all before it
//! ```

use thiserror::Error;

use super::cues::{self, Found};
use super::features::{Features, HASHED, strength};

const MAGIC: &[u8; 8] = b"loopdlin";
const VERSION: u8 = 1;
/// No verdict of ours is surer or less sure than this.
const BOUNDS: (f64, f64) = (0.02, 0.98);

#[derive(Clone, Debug, PartialEq, Error)]
pub enum ModelError {
    #[error("not a file of weights: it does not begin with `loopdlin`")]
    Foreign,
    #[error("weights of version {0}; this build reads version {VERSION}: train them again")]
    Version(u8),
    #[error("the weights were trained for other features than this build computes: train them again")]
    Features,
    #[error("the file of weights ends early or holds a value out of range")]
    Broken,
    #[error("the file of weights is damaged: its check sum differs")]
    Sum,
}

/// One question that the model answers, such as the category.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Where the answer belongs: `tags.category`.
    pub path: String,
    pub classes: Vec<String>,
    pub bias: Vec<f32>,
    pub worth: Vec<f32>,
    pub scale: f32,
    /// [`HASHED`] × classes.
    pub hashed: Vec<i8>,
    /// Cues × classes.
    pub cues: Vec<f32>,
    /// Rising in both.
    pub curve: Vec<(f32, f32)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub idf: Vec<f32>,
    pub tasks: Vec<Task>,
}

impl Task {
    /// One a class; they sum to 1.
    pub fn probabilities(&self, features: &Features) -> Vec<f32> {
        let classes = self.classes.len();
        let mut hashed = vec![0.0_f32; classes];
        let mut sums = self.bias.clone();
        for (index, value) in &features.values {
            if let Some(cue) = index.checked_sub(HASHED) {
                let row = &self.cues[cue * classes..(cue + 1) * classes];
                sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += value * weight);
            } else {
                let row = &self.hashed[index * classes..(index + 1) * classes];
                hashed.iter_mut().zip(row).for_each(|(sum, weight)| *sum += value * f32::from(*weight));
            }
        }
        sums.iter_mut().zip(hashed).for_each(|(sum, part)| *sum += part * self.scale);
        softmax(&mut sums);
        sums
    }

    /// How much a hashed feature of value 1 speaks for one class rather than another.
    pub fn lean(&self, index: usize, class: usize, other: usize) -> f32 {
        let at = index * self.classes.len();
        f32::from(i16::from(self.hashed[at + class]) - i16::from(self.hashed[at + other])) * self.scale
    }

    /// How much a cue speaks for one class rather than another.
    pub fn cue_lean(&self, found: &Found, class: usize, other: usize) -> f32 {
        let at = found.cue * self.classes.len();
        (self.cues[at + class] - self.cues[at + other]) * strength(found)
    }

    /// How often the class was right on unseen text when the model gave it this probability.
    pub fn confidence(&self, class: usize, probability: f32) -> f64 {
        let share = interpolate(&self.curve, probability) * self.worth.get(class).copied().unwrap_or(1.0);
        f64::from(share).clamp(BOUNDS.0, BOUNDS.1)
    }
}

fn softmax(scores: &mut [f32]) {
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - top).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Linear between the knots, level outside them.
pub fn interpolate(curve: &[(f32, f32)], at: f32) -> f32 {
    let after = curve.partition_point(|(x, _)| *x <= at);
    match (after.checked_sub(1).and_then(|before| curve.get(before)), curve.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (at - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some((_, y))) => *y,
        (None, None) => at,
    }
}

impl Model {
    /// # Errors
    /// When the bytes are not a whole file of this version for these features.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ModelError::Foreign)?;
        let version = *rest.first().ok_or(ModelError::Broken)?;
        if version != VERSION {
            return Err(ModelError::Version(version));
        }
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(ModelError::Broken)?;
        if fnv(body) != u32::from_le_bytes(*sum) {
            return Err(ModelError::Sum);
        }
        let mut reader = Reader(body.get(MAGIC.len() + 1..).ok_or(ModelError::Broken)?);
        let shape = (reader.u32()?, reader.u16()?, reader.u32()?);
        if shape != shape_of_this_build() {
            return Err(ModelError::Features);
        }
        let scale = reader.float()?;
        let idf = reader.take(HASHED)?.iter().map(|byte| f32::from(*byte) * scale).collect();
        let tasks = (0..reader.byte()?).map(|_| reader.task()).collect::<Result<_, _>>()?;
        if reader.0.is_empty() { Ok(Self { idf, tasks }) } else { Err(ModelError::Broken) }
    }

    /// The file of it. The idf is rounded to its 8 bits.
    pub fn encode(&self) -> Vec<u8> {
        let (hashed, cues, table) = shape_of_this_build();
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(hashed.to_le_bytes());
        bytes.extend(cues.to_le_bytes());
        bytes.extend(table.to_le_bytes());
        let scale = self.idf.iter().copied().fold(f32::MIN_POSITIVE, f32::max) / 255.0;
        bytes.extend(scale.to_le_bytes());
        bytes.extend(self.idf.iter().map(|idf| byte(idf / scale)));
        bytes.push(small(self.tasks.len()));
        for task in &self.tasks {
            string(&mut bytes, &task.path);
            bytes.push(small(task.classes.len()));
            for ((class, bias), worth) in task.classes.iter().zip(&task.bias).zip(&task.worth) {
                string(&mut bytes, class);
                bytes.extend(bias.to_le_bytes());
                bytes.extend(worth.to_le_bytes());
            }
            bytes.extend(task.scale.to_le_bytes());
            bytes.extend(task.hashed.iter().flat_map(|weight| weight.to_le_bytes()));
            bytes.extend(task.cues.iter().flat_map(|weight| weight.to_le_bytes()));
            bytes.push(small(task.curve.len()));
            bytes.extend(task.curve.iter().flat_map(|(x, y)| [x.to_le_bytes(), y.to_le_bytes()]).flatten());
        }
        bytes.extend(fnv(&bytes).to_le_bytes());
        bytes
    }

    pub fn task(&self, path: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.path == path)
    }
}

/// Whole numbers of 0 to 255, rounded.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range before")]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

fn small(count: usize) -> u8 {
    u8::try_from(count).expect("a handful of tasks, classes and knots, and short labels")
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(small(text.len()));
    bytes.extend(text.as_bytes());
}

fn shape_of_this_build() -> (u32, u16, u32) {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (count(HASHED), u16::try_from(cues::COUNT).unwrap_or(u16::MAX), fnv(cues::table().as_bytes()))
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ModelError::Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        self.take(N)?.try_into().map_err(|_| ModelError::Broken)
    }

    fn byte(&mut self) -> Result<u8, ModelError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, ModelError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn float(&mut self) -> Result<f32, ModelError> {
        let value = f32::from_le_bytes(self.array()?);
        if value.is_finite() { Ok(value) } else { Err(ModelError::Broken) }
    }

    fn string(&mut self) -> Result<String, ModelError> {
        let length = self.byte()?;
        let text = std::str::from_utf8(self.take(length.into())?).map_err(|_| ModelError::Broken)?;
        Ok(text.to_owned())
    }

    fn task(&mut self) -> Result<Task, ModelError> {
        let path = self.string()?;
        let count = usize::from(self.byte()?);
        if count < 2 {
            return Err(ModelError::Broken);
        }
        let (mut classes, mut bias, mut worth) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            classes.push(self.string()?);
            bias.push(self.float()?);
            worth.push(self.float()?);
        }
        let scale = self.float()?;
        let hashed = self.take(HASHED * count)?.iter().map(|byte| i8::from_le_bytes([*byte])).collect();
        let cues = (0..cues::COUNT * count).map(|_| self.float()).collect::<Result<_, _>>()?;
        let knots = self.byte()?;
        let curve: Vec<(f32, f32)> =
            (0..knots).map(|_| Ok((self.float()?, self.float()?))).collect::<Result<_, ModelError>>()?;
        let rising = curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        if rising {
            Ok(Task { path, classes, bias, worth, scale, hashed, cues, curve })
        } else {
            Err(ModelError::Broken)
        }
    }
}
