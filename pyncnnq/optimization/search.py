"""The ways to make an int8 model that a recipe tries: techniques, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyncnnq.calibration.calibrate import calibrate
from pyncnnq.optimization.bench import Bench
from pyncnnq.optimization.budget import Budget
from pyncnnq.optimization.draft import Draft
from pyncnnq.optimization.judge import Judged, best_first, choose
from pyncnnq.optimization.mixed_precision import MixedPrecision, leave_in_float
from pyncnnq.optimization.recipes import Recipe
from pyncnnq.optimization.source import Need, Source
from pyncnnq.optimization.technique import Stage, Technique
from pyncnnq.quantization.selection import left_out

CLOSE, MOST_CLOSE = 1.0, 6
"""Models that are so close to the best on few samples, in dB, are judged on more, so many of them: half a dB is
chance."""


class Search:
    """Tries the techniques of a recipe, and keeps all models that were judged.

    Attributes:
        judged: the models, the best first.
        mixed: the layers that were left in float for accuracy; None if there were to be none.
    """

    def __init__(self, recipe: Recipe, techniques: Sequence[Technique[Any]], bench: Bench) -> None:
        """Take what to try.

        Args:
            recipe: how much is tried.
            techniques: those of the recipe that are wanted.
            bench: samples, processes, and the judges.

        Raises:
            PyncnnqError: a pattern of the user's options that matches no layer.
        """
        self._recipe, self._techniques, self._bench = recipe, techniques, bench
        self._in_float = frozenset(left_out(bench.model, bench.options))
        self._results: dict[tuple[str, Draft], Draft | None] = {}
        self._rounded_by: dict[Draft, Technique[Draft]] = {}
        self.judged: list[Judged] = []
        self.mixed: MixedPrecision | None = None

    def run(self, budget: Budget | None) -> None:
        """Try all techniques.

        Args:
            budget: what the model shall reach by layers in float; None: what techniques of the recipe take unasked.

        Raises:
            InputError: the goal of the budget cannot be measured.
            PyncnnqError: ncnn cannot run a model.
        """
        self._judge([draft for source in self._sources() for draft in self._drafts(source)])
        if budget is not None:
            budget.check(self.judged[0].candidate)
        for technique in self._of(Stage.THRESHOLDS):
            tuned = self._result(technique, self.judged[0].draft)
            self._judge([tuned] if tuned is not None else [])
        spared = self._spare_unasked() if budget is None else ()
        rounded = self._rounded(spared)
        self._judge(rounded)
        if budget is not None:
            self._meet(budget, rounded)
            return
        if self._bench.mixed is not None:
            left = [self._bench.judge.of(self._bench.mixed.best.draft)] if spared else []  # few samples may have chosen
            self.judged = best_first([*self.judged, *left])
        close, others = self._close()
        best = choose(close)
        self.judged = [best, *(model for model in close if model is not best), *others]
        if self._bench.mixed is not None:
            self.mixed = replace(self._bench.mixed, best=best)

    def _close(self) -> tuple[list[Judged], list[Judged]]:
        """Return the models that may be the best, judged on all samples, the best first, and the others."""
        final = self._bench.final
        if final is self._bench.judge:
            return self.judged, []
        least = self.judged[0].candidate.score - CLOSE
        drafts = [model.draft for model in self.judged if model.candidate.score >= least][:MOST_CLOSE]
        return final.judge(drafts), [model for model in self.judged if model.draft not in drafts]

    def _of(self, stage: Stage) -> list[Technique[Any]]:
        """Return the techniques of a stage that are wanted."""
        return [technique for technique in self._techniques if technique.stage is stage]

    def _judge(self, drafts: Sequence[Draft]) -> None:
        """Add models to the judged ones."""
        self.judged = best_first([*self.judged, *self._bench.judge.judge(drafts)])

    def _sources(self) -> list[Source]:
        """Return the float model, and what all techniques together rewrite it to, if they change anything, with what
        later stages need to know of their blobs."""
        rewritings, bench = self._of(Stage.REWRITING), self._bench
        source = given = bench.source
        for place, technique in enumerate(rewritings):
            if not source.seen.keys() >= set(technique.needs):
                needs = {need for later in rewritings[place:] for need in later.needs}
                source = bench.seen(bench.stored(source, f"before-{place}"), needs, "measure channels")
            source = technique.apply(source, bench) or source
        for technique in rewritings:
            source = technique.tidy(source)
        needs = {need for later in self._techniques if later not in rewritings for need in later.needs}
        sources = [bench.seen(given, needs, "measure channels")]
        if source.changed != given.changed:
            rewritten = bench.stored(replace(source, seen={}), "rewritten")
            sources.append(bench.seen(rewritten, {Need.BLOBS, *needs}, "calibrate again"))
        return sources

    def _drafts(self, source: Source) -> list[Draft]:
        """Return drafts by each calibration method, without and with each technique that changes drafts."""
        all_drafts = []
        for method in self._recipe.methods:
            calibration = calibrate(
                source.model, source.statistics, method=method, weight_bits=self._recipe.weight_bits
            )
            draft = Draft(source, method, calibration, in_float=self._in_float)
            drafts = [draft.sound(self._bench.options)]
            for technique in self._of(Stage.CORRECTING):
                results = [self._result(technique, draft) for draft in drafts]
                changed = [draft for draft in results if draft is not None]
                drafts = changed if changed and technique.name in self._recipe.unjudged else [*drafts, *changed]
            all_drafts += drafts
        return all_drafts

    def _result(self, technique: Technique[Draft], draft: Draft) -> Draft | None:
        """Return what a technique makes of a draft, once for each draft.

        What it makes of a draft with adjusted weights belongs to what it makes of the draft without.
        """
        key = technique.name, draft
        if key not in self._results:
            result = technique.apply(draft, self._bench)
            if result is not None and result.uncorrected is draft.uncorrected is not None:
                result = replace(result, uncorrected=self._result(technique, draft.uncorrected) or draft.uncorrected)
            self._results[key] = result
        return self._results[key]

    def _rounded(self, spared: tuple[str, ...]) -> list[Draft]:
        """Return the best drafts with weights chosen by what their layers see, some layers in float.

        What would be rounded alike counts once: drafts that differ in corrected biases or searched thresholds alone.
        Those that are beaten by then are not rounded: it takes longer than all else.
        """
        bases: dict[Draft, Draft] = {}
        least = self.judged[0].candidate.score - CLOSE
        for model in self.judged:
            if model.candidate.score < least:
                break
            base = model.draft.uncorrected or model.draft
            bases.setdefault(base.untuned or base, base)
        return [
            rounded
            for technique in self._of(Stage.ROUNDING)
            for base in list(bases.values())[: technique.most]
            if not (spared and self._results.get((technique.name, base)))  # rounded to choose these layers
            if (rounded := self._round(technique, base.with_float(*spared))) is not None
        ]

    def _round(self, technique: Technique[Draft], base: Draft) -> Draft | None:
        rounded = self._result(technique, base)
        if rounded is not None:
            self._rounded_by[rounded] = technique
        return rounded

    def _spare_unasked(self) -> tuple[str, ...]:
        """Return the layers that techniques leave in float."""
        spared: tuple[str, ...] = ()
        for technique in self._of(Stage.MIXED_PRECISION):
            left = technique.apply(self._start(self.judged[0]).draft, self._bench)
            spared = left.spared if left is not None else ()
        return spared

    def _start(self, best: Judged) -> Judged:
        """Return the model to choose layers in that stay in float: rounded, else errors that rounding takes away hide
        the others."""
        for technique in self._of(Stage.ROUNDING)[:1]:
            rounded = self._round(technique, best.draft.uncorrected or best.draft)
            if rounded is not None:
                return self._bench.judge.of(rounded)
        return best

    def _meet(self, budget: Budget, rounded: Sequence[Draft]) -> None:
        """Leave layers in float until a budget is met, or come as near to it as possible."""
        bench = self._bench
        for model in self.judged:
            if budget.is_met(model.candidate):
                self.mixed = MixedPrecision(budget=budget, best=model)
                break
        else:
            best = next(model for model in self.judged if model.draft not in self._rounded_by)
            start = self._start(best)
            with bench.progress("leave layers in float") as update:
                self.mixed = leave_in_float(start, bench.work, bench.judge, budget, update)
            if rounded:
                self.mixed = self._rounded_anew(self.mixed, best, rounded)
        if self.mixed.in_float:
            self.judged = [self.mixed.best, *self.judged]

    def _rounded_anew(self, mixed: MixedPrecision, best: Judged, rounded: Sequence[Draft]) -> MixedPrecision:
        """Return the choice of layers with weights rounded as in the best of the rounded drafts."""
        (first, *_) = self._bench.judge.judge(rounded)
        technique = self._rounded_by[first.draft]

        def make(spared: tuple[str, ...]) -> Judged:
            base = (best.draft.uncorrected or best.draft).with_float(*spared)
            made = self._round(technique, base)
            assert made is not None  # as the same technique could round the draft before
            return self._bench.judge.of(made)

        return mixed.round_weights(first, make)
