"""Settings for all tests."""

from hypothesis import settings

# The machines that run this are shared and slow now and then: no deadline. The same examples every
# time: a failure in CI is a failure here.
settings.register_profile("bon", deadline=None, derandomize=True)
settings.load_profile("bon")
