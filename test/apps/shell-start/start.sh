#!/bin/sh
echo shell
