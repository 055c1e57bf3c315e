from fines import fine, reminder


def test_fine():
    assert fine(12) is not None
    assert fine(0) == 0


def test_reminder():
    assert reminder(3)
