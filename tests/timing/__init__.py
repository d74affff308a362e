"""Tests with real clients that want the machine for themselves: they judge time, or fill it."""
