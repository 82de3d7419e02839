//! Those who take part in a row, from their start to their figures.
//!
//! Ours has to bear every row. Another that fails is left out and the row says so: what the rest
//! found is worth having all the same, unless it is what stands behind them all that failed. It
//! knows nothing of targets.

use crate::counts;
use crate::live::{Live, Scene};
use crate::load::shop::Unbalanced;
use crate::results::{Counts, Figures};
use crate::row::{Contestant, Row};

/// All who run, side by side.
pub(crate) struct Contest {
    lives: Vec<Live>,
    /// Why others do not run, or not as they should.
    left_out: Vec<String>,
}

impl Contest {
    pub(crate) fn start(
        row: &Row,
        contestants: &[Contestant],
        scene: &Scene<'_>,
    ) -> anyhow::Result<Self> {
        let mut contest = Self { lives: Vec::new(), left_out: Vec::new() };
        for contestant in contestants {
            let started = Live::start(contestant, row.setting, scene);
            let (engine, label) = (contestant.engine, contestant.label());
            contest.lives.extend(unless_failed(engine, &label, started, &mut contest.left_out)?);
        }
        Ok(contest)
    }

    /// Goes on with other processes.
    pub(crate) fn start_anew(&mut self, scene: &Scene<'_>) -> anyhow::Result<()> {
        let everybody = (0..self.lives.len()).collect();
        self.each(everybody, |live| live.start_anew(scene))
    }

    /// Gives each one slice, in an order drawn anew, and says what they found.
    pub(crate) fn round(&mut self, scene: &Scene<'_>) -> anyhow::Result<String> {
        let mut order: Vec<usize> = (0..self.lives.len()).collect();
        fastrand::shuffle(&mut order);
        let mut line = String::new();
        self.each(order, |live| {
            let figure = live.slice(scene)?.figure;
            line.push_str(&format!("  {} {figure:.1}", live.label));
            Ok(())
        })?;
        Ok(line)
    }

    /// What all found who came to the end.
    pub(crate) fn figures(
        &mut self,
        scene: &Scene<'_>,
        counted: bool,
    ) -> anyhow::Result<Vec<Figures>> {
        self.lives.iter_mut().for_each(Live::look_for_missing_lines);
        let mut figures = Vec::new();
        for live in &self.lives {
            let counts = if counted { counts::count(live, scene)? } else { Counts::default() };
            figures.push(live.figures(counts));
        }
        Ok(figures)
    }

    /// What a reader of the figures has to know.
    pub(crate) fn warnings(&self, loop_is_closed: bool) -> Vec<String> {
        let mut warnings = self.left_out.clone();
        warnings.extend(self.lives.iter().flat_map(|live| live.warnings(loop_is_closed)));
        warnings
    }

    /// Those who fail do not take part any longer, and what they found before is dropped.
    fn each(
        &mut self,
        order: Vec<usize>,
        mut act: impl FnMut(&mut Live) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        for index in order {
            let live = &mut self.lives[index];
            let done = act(live);
            let (engine, label) = (live.engine.name, &live.label);
            if unless_failed(engine, label, done, &mut self.left_out)?.is_none() {
                failed.push(index);
            }
        }
        failed.sort_unstable();
        for index in failed.into_iter().rev() {
            self.lives.remove(index);
        }
        Ok(())
    }
}

/// Nothing where somebody failed without whom the row goes on.
fn unless_failed<T>(
    engine: &str,
    label: &str,
    done: anyhow::Result<T>,
    left_out: &mut Vec<String>,
) -> anyhow::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if engine == "portcullis" || error.is::<Unbalanced>() => Err(error),
        Err(error) => {
            let warning = format!("{label} is left out, having failed: {error:#}");
            eprintln!("==> {warning}");
            left_out.push(warning);
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_ours_and_the_origin_fails_a_row() {
        let mut left_out = Vec::new();
        let mut take = |engine: &str, done| unless_failed(engine, engine, done, &mut left_out);
        assert_eq!(take("caddy", Ok(1)).unwrap(), Some(1));
        assert_eq!(take("caddy", Err(anyhow::anyhow!("no answer"))).unwrap(), None);
        assert!(take("portcullis", Err(anyhow::anyhow!("no answer"))).is_err());
        let unbalanced = anyhow::Error::new(Unbalanced("a lamp is gone".to_owned()));
        assert!(take("caddy", Err(unbalanced.context("caddy"))).is_err());
        assert_eq!(left_out, ["caddy is left out, having failed: no answer"]);
    }
}
