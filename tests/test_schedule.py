"""The learning rate at points that were computed by hand."""

from utils.training.schedule import WarmupCosine, build_schedule


def test_warmup_cosine_rises_stays_and_falls():
    schedule = WarmupCosine(2.0, warmup_steps=10, decay_start=20, num_steps=40)
    rates = {0: 0.2, 4: 1.0, 9: 2.0, 15: 2.0, 20: 2.0, 30: 1.0, 40: 0.0}
    assert {step: round(float(schedule(step)), 4) for step in rates} == rates
    assert float(WarmupCosine(2.0, 0, 0, 10)(0)) == 2.0


def test_build_schedule_scales_to_a_short_run(capsys):
    schedule = build_schedule(1.0, 2000, 2000, 60)
    assert float(schedule(9)) == 1.0 and float(schedule(36)) == 1.0 and float(schedule(60)) == 0.0
    assert "60 steps are too few" in capsys.readouterr().out
    assert float(build_schedule(1.0, 2000, 8000, 9000)(1999)) == 1.0
    assert capsys.readouterr().out == ""
