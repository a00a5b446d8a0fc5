"""The three parts FER2013 was published in; arrays of usage hold these numbers."""

USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING, PUBLIC_TEST, PRIVATE_TEST = range(3)
