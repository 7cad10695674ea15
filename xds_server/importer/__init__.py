"""Policies out of other projects' objects: Istio's and Envoy Gateway's.

Files in; TrafficPolicies out, and every field that could not come along, with its
place. A table for each project says what becomes of each field; what is in no table is
said to be unknown, so nothing is lost without a word. Nothing is printed here.
"""
