"""Apprise"""
