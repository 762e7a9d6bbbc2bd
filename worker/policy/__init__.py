"""Policies: what to do about a verdict.

A policy is a file of rules in CEL (Common Expression Language). It is checked and compiled once;
`decide` is a pure function of a policy and a verdict, in the worker and over stored verdicts.
"""
