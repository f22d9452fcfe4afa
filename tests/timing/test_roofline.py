from kernelsearch.spec import Work
from kernelsearch.timing.roofline import Peaks, measured_peaks

PEAKS = Peaks(flops=1e11, bandwidth={2**20: 8e10, 2**26: 2e10})


def test_small_data_is_bound_by_the_bandwidth_of_its_own_footprint():
    assert PEAKS.speed_of_light_us(Work(flops=0, bytes=2**20)) == 1e6 * 2**20 / 8e10
    assert PEAKS.speed_of_light_us(Work(flops=0, bytes=2**27)) == 1e6 * 2**27 / 2e10


def test_arithmetic_bounds_where_it_takes_longer():
    assert PEAKS.speed_of_light_us(Work(flops=1e9, bytes=2**20)) == 1e4


def test_only_a_time_far_below_the_roofline_is_impossible():
    work = Work(flops=1e9, bytes=0)
    assert not PEAKS.is_impossible(5e3, work)
    assert PEAKS.is_impossible(1e3, work)


def test_measuring_again_never_lowers_a_peak(tmp_path):
    first = measured_peaks(tmp_path, "here")
    again = measured_peaks(tmp_path, "here", again=True)
    assert again.flops >= first.flops
    assert all(again.bandwidth[size] >= value for size, value in first.bandwidth.items())
