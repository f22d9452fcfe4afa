from kernelsearch.search import (
    EvolveProposer,
    FileProposer,
    RandomProposer,
    ReplayProposer,
    SurrogateProposer,
    SweepProposer,
)
from kernelsearch.search.conformance import ProposerConformance
from tests.search.test_graft import TARGET


class TestSweep(ProposerConformance):
    def make(self, seeds, seed):
        return SweepProposer(seeds, seed)


class TestRandom(ProposerConformance):
    def make(self, seeds, seed):
        return RandomProposer(seeds, seed)


class TestFile(ProposerConformance):
    def make(self, seeds, seed):
        return FileProposer(seeds)


class TestEvolve(ProposerConformance):
    def make(self, seeds, seed):
        return EvolveProposer(seeds, seed)


class TestEvolveWithATarget(ProposerConformance):
    def make(self, seeds, seed):
        return EvolveProposer(seeds, seed, TARGET)


class TestReplay(ProposerConformance):
    def make(self, seeds, seed):
        return ReplayProposer([*seeds, seeds[0]], "a ledger")


class TestSurrogate(ProposerConformance):
    def make(self, seeds, seed):
        return SurrogateProposer(seeds, seed)


class TestSurrogateWithATarget(ProposerConformance):
    def make(self, seeds, seed):
        return SurrogateProposer(seeds, seed, TARGET)
