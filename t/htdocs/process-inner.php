<?php
passthru('sh ' . getenv('MO_LOOK'));
