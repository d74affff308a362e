"""Tests of `rapidrtmp.amf.values`."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf.values import UNDEFINED, ECMAArray, TypedObject


class ValuesTests(SynchronousTestCase):
    def test_undefined_is_false(self) -> None:
        """``undefined`` is false, as None is."""
        self.assertFalse(UNDEFINED)

    def test_array_equals_object(self) -> None:
        """An ECMA array and an object of the same members are interchangeable."""
        self.assertEqual(ECMAArray({"width": 1.0}), {"width": 1.0})

    def test_typed_object(self) -> None:
        """The class name counts between typed objects, not against a plain object."""
        point = TypedObject({"x": 1.0}, "Point")
        self.assertEqual(point, {"x": 1.0})
        self.assertEqual(point, TypedObject({"x": 1.0}, "Point"))
        self.assertNotEqual(point, TypedObject({"x": 1.0}, "Vector"))
        self.assertNotEqual(point, TypedObject({"x": 2.0}, "Point"))
        self.assertEqual(repr(point), "TypedObject({'x': 1.0}, 'Point')")
        self.assertRaises(TypeError, hash, point)
