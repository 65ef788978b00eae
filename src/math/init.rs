//! Initial weights of a layer: W of shape (out, in), fan-in = in, fan-out = out.

use crate::base::error::{Error, Result, serde_as_text, unknown};
use crate::math::random::Random;
use std::fmt;
use std::str::FromStr;

/// How the weights (or biases) of a layer are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// 0.
    Zeros,
    /// A constant.
    Constant(f32),
    /// U(−a, a).
    Uniform(f32),
    /// N(0, s²).
    Normal(f32),
    /// U(−a, a), a = √(6 / (in + out)) (Glorot, Bengio 2010).
    XavierUniform,
    /// N(0, 2 / (in + out)) (Glorot, Bengio 2010).
    XavierNormal,
    /// U(−a, a), a = √(6 / in) (He et al. 2015).
    KaimingUniform,
    /// N(0, 2 / in) (He et al. 2015).
    KaimingNormal,
    /// U(−a, a), a = √(3 / in) (LeCun et al. 1998).
    LecunUniform,
    /// N(0, 1 / in) (LeCun et al. 1998).
    LecunNormal,
    /// Orthonormal rows or columns, whichever are fewer (Saxe, McClelland, Ganguli 2014).
    Orthogonal,
}

impl Init {
    /// Every initializer once, parameters at their defaults.
    pub const ALL: [Init; 11] = [
        Init::Zeros,
        Init::Constant(0.1),
        Init::Uniform(0.05),
        Init::Normal(0.05),
        Init::XavierUniform,
        Init::XavierNormal,
        Init::KaimingUniform,
        Init::KaimingNormal,
        Init::LecunUniform,
        Init::LecunNormal,
        Init::Orthogonal,
    ];

    /// The name used in files and on the command line, without a parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Init::Zeros => "zeros",
            Init::Constant(_) => "constant",
            Init::Uniform(_) => "uniform",
            Init::Normal(_) => "normal",
            Init::XavierUniform => "xavier-uniform",
            Init::XavierNormal => "xavier-normal",
            Init::KaimingUniform => "kaiming-uniform",
            Init::KaimingNormal => "kaiming-normal",
            Init::LecunUniform => "lecun-uniform",
            Init::LecunNormal => "lecun-normal",
            Init::Orthogonal => "orthogonal",
        }
    }

    /// The initial weights, (out, cols), row by row.
    #[must_use]
    pub fn draw(self, out: usize, cols: usize, random: &mut Random) -> Vec<f32> {
        let (fan_out, fan_in) = (out as f64, cols as f64);
        let mut fill = |f: &mut dyn FnMut(&mut Random) -> f64| -> Vec<f32> {
            (0..out * cols).map(|_| f(random) as f32).collect()
        };
        let mut uniform = |a: f64| fill(&mut |r| a * (2.0 * r.uniform() - 1.0));
        match self {
            Init::Zeros => vec![0.0; out * cols],
            Init::Constant(c) => vec![c; out * cols],
            Init::Uniform(a) => uniform(a.into()),
            Init::XavierUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::KaimingUniform => uniform((6.0 / fan_in).sqrt()),
            Init::LecunUniform => uniform((3.0 / fan_in).sqrt()),
            Init::Normal(s) => fill(&mut |r| f64::from(s) * r.normal()),
            Init::XavierNormal => fill(&mut |r| (2.0 / (fan_in + fan_out)).sqrt() * r.normal()),
            Init::KaimingNormal => fill(&mut |r| (2.0 / fan_in).sqrt() * r.normal()),
            Init::LecunNormal => fill(&mut |r| (1.0 / fan_in).sqrt() * r.normal()),
            Init::Orthogonal => orthogonal(out, cols, random),
        }
    }
}

/// Normal vectors made orthonormal by modified Gram–Schmidt, done twice for full accuracy.
fn orthogonal(out: usize, cols: usize, random: &mut Random) -> Vec<f32> {
    let (few, many) = (out.min(cols), out.max(cols));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(few);
    while basis.len() < few {
        let mut v: Vec<f64> = (0..many).map(|_| random.normal()).collect();
        for _ in 0..2 {
            for b in &basis {
                let along: f64 = v.iter().zip(b).map(|(x, y)| x * y).sum();
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm > 1e-6 {
            v.iter_mut().for_each(|x| *x /= norm);
            basis.push(v);
        }
    }
    let element = |r: usize, c: usize| if out <= cols { basis[r][c] } else { basis[c][r] };
    (0..out * cols).map(|i| element(i / cols, i % cols) as f32).collect()
}

serde_as_text!(Init);

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Init::Constant(x) | Init::Uniform(x) | Init::Normal(x) => write!(f, "({x})"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Init {
    type Err = Error;

    /// Reads `kaiming-normal` or `normal(0.02)`; `_` is read as `-`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim().replace('_', "-");
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest.trim_end_matches(')'))),
            None => (text.as_str(), None),
        };
        let default = Self::ALL
            .into_iter()
            .find(|i| i.name() == name)
            .ok_or_else(|| unknown("initializer", name, &Self::ALL.map(Self::name)))?;
        let Some(argument) = argument else {
            return Ok(default);
        };
        let number = argument.parse::<f32>().ok().filter(|x| x.is_finite());
        match (default, number) {
            (Init::Constant(_), Some(x)) => Ok(Init::Constant(x)),
            (Init::Uniform(_), Some(x)) if x >= 0.0 => Ok(Init::Uniform(x)),
            (Init::Normal(_), Some(x)) if x >= 0.0 => Ok(Init::Normal(x)),
            _ => Err(Error::usage(format!("{name} takes no parameter {argument:?}"))
                .help(format!("write for example {default}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::Stream;

    fn draw(init: Init, out: usize, cols: usize) -> Vec<f32> {
        init.draw(out, cols, &mut Random::new(1, Stream::Weights, 0))
    }

    #[test]
    fn variances_are_those_of_the_papers() {
        let (out, cols) = (300, 200);
        for (init, variance) in [
            (Init::Uniform(0.3), 0.09 / 3.0),
            (Init::Normal(0.2), 0.04),
            (Init::XavierUniform, 2.0 / 500.0),
            (Init::XavierNormal, 2.0 / 500.0),
            (Init::KaimingUniform, 2.0 / 200.0),
            (Init::KaimingNormal, 2.0 / 200.0),
            (Init::LecunUniform, 1.0 / 200.0),
            (Init::LecunNormal, 1.0 / 200.0),
        ] {
            let w = draw(init, out, cols);
            let found = w.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / w.len() as f64;
            assert!((found / variance - 1.0).abs() < 0.03, "{init}: {found} for {variance}");
        }
    }

    #[test]
    fn orthogonal_rows_are_orthonormal() {
        for (out, cols) in [(5, 9), (9, 5), (6, 6), (1, 1)] {
            let w = draw(Init::Orthogonal, out, cols);
            let (few, many) = (out.min(cols), out.max(cols));
            let at = |v: usize, i: usize| {
                f64::from(if out <= cols { w[v * cols + i] } else { w[i * cols + v] })
            };
            for a in 0..few {
                for b in 0..few {
                    let dot: f64 = (0..many).map(|i| at(a, i) * at(b, i)).sum();
                    assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn every_name_reads_back() {
        for init in Init::ALL {
            assert_eq!(init.to_string().parse(), Ok(init));
        }
        assert!("zeros(1)".parse::<Init>().is_err());
    }
}
